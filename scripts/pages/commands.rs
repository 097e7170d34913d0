//! The manual page of a command, of what clap knows of it.

use clap::{Arg, ArgAction, Command};
use roff::{Inline, bold, italic, roman};

use crate::page::{Page, with_code};

/// Sections beyond the arguments: each with a title, and paragraphs of a term and its meaning.
type Sections<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

/// Writes the page: the command with its options, its commands with theirs, exit codes, and the further sections.
pub(crate) fn page(mut command: Command, section: &str, further: Sections<'_>, see_also: &[&str]) -> String {
    command.build();
    let about = sentence(&command);
    let name = command.get_name().to_owned();
    let mut page = Page::new(&name, section, &about);
    page.section("SYNOPSIS").text(usage(&command));
    page.section("DESCRIPTION").text(with_code(&format!("{about}.")));
    if own_arguments(&command).next().is_some() {
        page.section("OPTIONS");
        arguments(&mut page, &command);
    }
    page.section("COMMANDS");
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        page.subsection(one.get_name()).text(usage(one)).paragraph().text(with_code(&format!("{}.", sentence(one))));
        arguments(&mut page, one);
    }
    if let Some(codes) = command.get_after_help() {
        let codes = codes.to_string();
        page.section("EXIT STATUS");
        for code in codes.trim_start_matches("Exit codes:").trim().trim_end_matches('.').split(", ") {
            let (code, meaning) = code.split_once(' ').unwrap_or((code, ""));
            page.term([bold(code)]).text([roman(meaning)]);
        }
    }
    for (title, terms) in further {
        page.section(title);
        for (term, meaning) in *terms {
            page.term([bold(*term)]).text(with_code(meaning));
        }
    }
    page.end(see_also)
}

/// What a command is about, without a full stop.
fn sentence(command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    about.trim_end_matches('.').to_owned()
}

fn usage(command: &Command) -> Vec<Inline> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    vec![bold(name), roman(usage.strip_prefix(name).unwrap_or(usage))]
}

/// The arguments that are told of a command: what holds for all commands is told once, of the whole.
fn own_arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let shown = |argument: &&Arg| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version");
    let whole = command.get_subcommands().next().is_some();
    command.get_arguments().filter(shown).filter(move |argument| whole || !argument.is_global_set())
}

fn arguments(page: &mut Page, command: &Command) {
    for argument in own_arguments(command) {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let takes = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
        let default =
            if takes && !default.is_empty() { format!(" [default: {}]", default.join(", ")) } else { String::new() };
        page.term(term(argument)).text(with_code(&format!("{help}{default}")));
    }
}

fn term(argument: &Arg) -> Vec<Inline> {
    let mut term = Vec::new();
    if let Some(short) = argument.get_short() {
        term.extend([bold(format!("-{short}")), roman(", ")]);
    }
    if let Some(long) = argument.get_long() {
        term.push(bold(format!("--{long}")));
    }
    if matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        let names = argument.get_value_names().unwrap_or_default();
        for name in names {
            if !term.is_empty() {
                term.push(roman(" "));
            }
            term.push(italic(name.as_str()));
        }
    }
    term
}
