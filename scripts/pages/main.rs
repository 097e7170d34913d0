//! Makes the manual pages and the completions of both commands: of the arguments that their `--help` is made of, and of
//! the configuration reference.
//!
//! ```text
//! cargo run --example pages -- DIRECTORY
//!   DIRECTORY/man/{wapcd.8,wapcctl.1,wapcd.toml.5}
//!   DIRECTORY/completions/{bash/wapcd,zsh/_wapcd,fish/wapcd.fish} and those of wapcctl
//! ```

mod commands;
mod page;
mod reference;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Command, CommandFactory as _};
use clap_complete::{Generator, Shell};
use wapcd::command::{complain, daemon, operator};

/// The configuration reference, in Markdown.
const REFERENCE: &str = include_str!("../../docs/configuration.md");

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next(), arguments.next()) else {
        complain("usage: pages DIRECTORY");
        return ExitCode::from(64);
    };
    match write_all(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("pages: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn write_all(directory: &Path) -> Result<(), Box<dyn Error>> {
    let both = [
        (daemon::Arguments::command(), "8", daemon::SECTIONS, ["wapcctl(1)", "wapcd.toml(5)"]),
        (operator::Arguments::command(), "1", operator::SECTIONS, ["wapcd(8)", "wapcd.toml(5)"]),
    ];
    for (command, section, further, see_also) in both {
        let page = commands::page(command.clone(), section, further, &see_also);
        write(&directory.join("man").join(format!("{}.{section}", command.get_name())), page.as_bytes())?;
        complete(&directory.join("completions"), command)?;
    }
    let reference = reference::page(REFERENCE, &["wapcd(8)", "wapcctl(1)"])?;
    Ok(write(&directory.join("man/wapcd.toml.5"), reference.as_bytes())?)
}

/// Writes the completions of a command, each where its shell looks for a file of that name.
fn complete(directory: &Path, command: Command) -> io::Result<()> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command.clone(), &name, &mut text);
        // Bash looks for the name of the command alone.
        let file = if shell == Shell::Bash { name.clone() } else { shell.file_name(&name) };
        write(&directory.join(shell.to_string()).join(file), &text)?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()));
    let parent = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    fs::create_dir_all(parent).map_err(named)?;
    fs::write(path, content).map_err(named)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn written() -> (tempfile::TempDir, impl Fn(&str) -> String) {
        let directory = tempfile::tempdir().unwrap();
        write_all(directory.path()).unwrap();
        let path = directory.path().to_owned();
        (directory, move |file| fs::read_to_string(path.join(file)).unwrap())
    }

    #[test]
    fn the_pages_of_the_commands_have_every_command_and_every_option() {
        let (_directory, read) = written();
        for (command, page) in
            [(daemon::Arguments::command(), "wapcd.8"), (operator::Arguments::command(), "wapcctl.1")]
        {
            let text = read(&format!("man/{page}"));
            for one in command.get_subcommands() {
                assert!(text.contains(&format!(".SS {}\n", one.get_name())), "{page}: {one}");
            }
            let all = command.get_subcommands().chain([&command]).flat_map(Command::get_arguments);
            for long in all.filter_map(clap::Arg::get_long) {
                assert!(text.contains(&format!("\\fB\\-\\-{}\\fR", long.replace('-', "\\-"))), "{page}: --{long}");
            }
        }
    }

    #[test]
    fn the_page_of_the_configuration_has_every_section_and_every_key() {
        let (_directory, read) = written();
        let text = read("man/wapcd.toml.5").replace("\\-", "-");
        let mut keys = 0;
        for line in REFERENCE.lines() {
            if let Some(title) = line.strip_prefix("## `").and_then(|rest| rest.split('`').next()) {
                assert!(text.contains(title), "section {title}");
            }
            if let Some(key) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next()) {
                assert!(text.contains(&format!(".TP\n\\fB{key}\\fR")), "key {key}");
                keys += 1;
            }
        }
        assert!(keys > 100, "only {keys} keys were looked for");
    }

    #[test]
    fn completions_know_every_command() {
        let (_directory, read) = written();
        for file in ["bash/wapcctl", "zsh/_wapcctl", "fish/wapcctl.fish"] {
            let text = read(&format!("completions/{file}"));
            for one in operator::Arguments::command().get_subcommands() {
                assert!(text.contains(one.get_name()), "{file}: {}", one.get_name());
            }
        }
    }
}
