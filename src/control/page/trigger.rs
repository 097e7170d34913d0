//! Triggers: a table of them, and the page of one.

use super::{
    exit, module, put, state,
    text::{ago, below, duration, in_one_line, local, short, until, utc, visible},
};
use crate::{
    control::table::Table,
    supervisor::status::{ServiceState, TriggerStatus},
    triggers::{Detail, TriggerFacts},
};

/// Characters of an error in a table.
const ERROR: usize = 60;

/// A table of triggers, and how those ended that did.
#[must_use]
pub fn triggers(triggers: &[TriggerStatus], now: f64) -> String {
    let mut page = table(triggers, now);
    for trigger in triggers {
        if let Some(exit) = &trigger.last_exit {
            put(&mut page, format_args!("\n{}:\n{}", visible(&trigger.name), exit::paragraph(exit, now)));
        }
    }
    page
}

/// A table of triggers; nothing where there are none.
pub(super) fn table(triggers: &[TriggerStatus], now: f64) -> String {
    if triggers.is_empty() {
        return String::new();
    }
    let head = ["TRIGGER", "TYPE", "STATE", "OK", "FAILED", "RUNNING", "RESTARTS", "UP", "GROUP", "FROM", "LAST ERROR"];
    let mut table = Table::new(&head, &[3, 4, 5, 6, 7]);
    for trigger in triggers {
        let count = |number: fn(&TriggerFacts) -> u64| {
            trigger.facts.as_ref().map_or_else(|| "-".to_owned(), |facts| number(facts).to_string())
        };
        table.row(vec![
            visible(&trigger.name),
            visible(&trigger.type_name),
            trigger_state(trigger, now),
            count(|facts| facts.calls_ok),
            count(|facts| facts.calls_failed),
            count(|facts| facts.calls_running),
            trigger.restarts.to_string(),
            trigger.uptime_s.map_or_else(|| "-".to_owned(), duration),
            trigger.group.as_deref().map_or_else(|| "-".to_owned(), visible),
            from(trigger, now),
            last_error(trigger, now),
        ]);
    }
    table.render()
}

/// Everything about one trigger.
#[must_use]
pub fn trigger(trigger: &TriggerStatus, now: f64) -> String {
    let mut page = format!("{}: {}\n", visible(&trigger.name), trigger_state(trigger, now));
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            put(&mut page, format_args!("  {name:<12}{value}\n"));
        }
    };
    let names = |names: &[String]| names.iter().map(|name| visible(name)).collect::<Vec<_>>().join(", ");
    line("type", visible(&trigger.type_name));
    line("from", places(trigger).join(", "));
    line("time zone", trigger.timezone.as_deref().map(visible).unwrap_or_default());
    line("modules", names(&trigger.modules));
    line("group", trigger.group.as_deref().map(visible).unwrap_or_default());
    line("up", trigger.uptime_s.map(duration).unwrap_or_default());
    if let Some(facts) = &trigger.facts {
        let TriggerFacts { calls_ok, calls_failed, calls_running, .. } = facts;
        line("calls", format!("{calls_ok} ok, {calls_failed} failed, {calls_running} running"));
        for (name, value) in detail(&facts.detail, trigger.timezone.as_deref(), now) {
            line(name, value);
        }
    }
    let TriggerStatus { restarts, restarts_by_reason, restarts_in_window, group, .. } = trigger;
    line("restarts", module::restarts(*restarts, restarts_by_reason, *restarts_in_window, group.as_deref()));
    match trigger.state {
        ServiceState::Failed => line("to revive", format!("wapcctl start triggers.{}", visible(&trigger.name))),
        ServiceState::Stopped => line("to start", format!("wapcctl start triggers.{}", visible(&trigger.name))),
        _ => {}
    }
    if let Some((at, error)) = call_error(trigger) {
        let error = below(error, "    ");
        put(&mut page, format_args!("  last error  {} ({})\n    {error}\n", ago(at, now), utc(at)));
    }
    if let Some(last) = &trigger.last_exit {
        page.push_str(&exit::paragraph(last, now));
    }
    page
}

/// What an action did: one line, and the last exit where the trigger has failed.
#[must_use]
pub fn trigger_outcome(trigger: &TriggerStatus, now: f64) -> String {
    let mut text = format!("{}: {}\n", visible(&trigger.name), trigger_state(trigger, now));
    if let (ServiceState::Failed, Some(last)) = (trigger.state, &trigger.last_exit) {
        text.push_str(&exit::paragraph(last, now));
    }
    text
}

/// The state, whom a start waits for, and whether messages are heard.
fn trigger_state(trigger: &TriggerStatus, now: f64) -> String {
    let state = state(trigger.state.as_str(), trigger.next_try, now);
    let waits: Vec<String> = trigger.waiting_for.iter().map(|name| visible(name)).collect();
    match trigger.facts.as_ref().map(|facts| &facts.detail) {
        _ if !waits.is_empty() => format!("{state}, waits for {}", waits.join(", ")),
        Some(Detail::Messages { connected: false, .. }) => format!("{state}, disconnected"),
        _ => state,
    }
}

/// Where calls come from, with the ports that the system chose.
fn places(trigger: &TriggerStatus) -> Vec<String> {
    match trigger.facts.as_ref().map(|facts| &facts.detail) {
        Some(Detail::Http { listeners, .. }) => {
            let tls = |tls: bool| if tls { " (TLS)" } else { "" };
            listeners.iter().map(|it| format!("{}{}", visible(&it.address), tls(it.tls))).collect()
        }
        _ => trigger.sources.iter().map(|source| visible(source)).collect(),
    }
}

/// The same for a cell of a table, with what comes next.
fn from(trigger: &TriggerStatus, now: f64) -> String {
    let places = places(trigger).join(", ");
    match trigger.facts.as_ref().map(|facts| &facts.detail) {
        Some(Detail::Schedule { next, .. }) => {
            let next = next.first().map(|at| format!(", next {}", until(*at, now)));
            places + &next.unwrap_or_default()
        }
        Some(Detail::Files { waiting, .. }) if *waiting > 0 => format!("{places}, {waiting} waiting"),
        _ => places,
    }
}

fn call_error(trigger: &TriggerStatus) -> Option<(f64, &str)> {
    let facts = trigger.facts.as_ref()?;
    Some((facts.last_error_at?, facts.last_error.as_deref()?))
}

/// What went wrong last: a call, or the trigger itself.
fn last_error(trigger: &TriggerStatus, now: f64) -> String {
    let exit = trigger.last_exit.as_ref();
    match call_error(trigger).filter(|(at, _)| exit.is_none_or(|exit| exit.at < *at)) {
        Some((at, error)) => {
            let error = in_one_line(error);
            let cut = if error.chars().count() > ERROR { "…" } else { "" };
            let error: String = error.chars().take(ERROR).collect();
            format!("{}: {}{cut}", ago(at, now), visible(&error))
        }
        None => exit::cell(exit, now),
    }
}

/// What only the type has to say, line by line.
fn detail(detail: &Detail, zone: Option<&str>, now: f64) -> Vec<(&'static str, String)> {
    match detail {
        Detail::Http { connections, connections_refused, responses, .. } => {
            let classes = responses.iter().zip(1..).filter(|(count, _)| **count > 0);
            let classes: Vec<String> = classes.map(|(count, class)| format!("{count} {class}xx")).collect();
            vec![
                ("connections", format!("{connections}, {connections_refused} refused")),
                ("responses", classes.join(", ")),
            ]
        }
        Detail::Schedule { next, last, skipped, missed, latest_s } => {
            let time = |at: f64| {
                zone.and_then(|zone| local(at, zone)).map_or_else(|| utc(at), |text| format!("{text}  {}", utc(at)))
            };
            let mut lines: Vec<_> =
                next.iter().map(|at| ("next", format!("{}  {}", time(*at), until(*at, now)))).collect();
            lines.extend(last.map(|at| ("last", format!("{}  {}, {} late", time(at), ago(at, now), short(*latest_s)))));
            lines.push(("no call", format!("{skipped} skipped, {missed} missed")));
            lines
        }
        Detail::Messages { connected, why, received, redelivered, given_up, lost } => {
            let why = why.as_deref().map(|why| format!(": {}", visible(&in_one_line(why)))).unwrap_or_default();
            let connected = if *connected { "connected" } else { "disconnected" };
            vec![
                ("hears", format!("{connected}{why}")),
                (
                    "messages",
                    format!("{received} received, {redelivered} of them again, {given_up} given up, {lost} lost"),
                ),
            ]
        }
        Detail::Files { waiting, done, failed } => {
            vec![("files", format!("{waiting} waiting, {done} done, {failed} failed"))]
        }
    }
}
