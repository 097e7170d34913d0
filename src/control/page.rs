//! What the daemon says about itself as text for people: tables, and a page for one module.
//!
//! Some of it was written by guests, so control characters are shown and never obeyed by the terminal.

use std::fmt::Write as _;

use super::{Problem, table::Table};
use crate::supervisor::status::{BindingStatus, ExitStatus, ModuleState, ModuleStatus, Status};

/// The whole daemon: a line about it, then both tables.
#[must_use]
pub fn status(status: &Status) -> String {
    let draining = if status.draining { ", stopping" } else { "" };
    format!(
        "wapcd {} (process {}), up {}, {} workers, {} waiting in queues{draining}\n\n{}\n{}",
        status.version,
        status.pid,
        duration(status.uptime_s),
        status.workers.len(),
        bytes(status.queue_bytes),
        modules(&status.modules),
        bindings(&status.bindings),
    )
}

/// A table of modules; where one did not end well, its reason is in the last column.
#[must_use]
pub fn modules(modules: &[ModuleStatus]) -> String {
    let head = ["MODULE", "STATE", "GEN", "INST", "QUEUED", "RUNNING", "OK", "FAILED", "RESTARTS", "UP", "LAST EXIT"];
    let mut table = Table::new(&head, &[2, 3, 4, 5, 6, 7, 8, 9]);
    for module in modules {
        table.row(vec![
            visible(&module.name),
            module.state.as_str().to_owned(),
            module.generation.to_string(),
            module.instances.len().to_string(),
            module.queued.to_string(),
            module.in_flight.to_string(),
            module.calls_ok.to_string(),
            module.calls_failed.to_string(),
            module.restarts.to_string(),
            module.uptime_s.map_or_else(|| "-".to_owned(), duration),
            module.last_exit.as_ref().map(|exit| visible(&exit.reason)).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// A table of bindings.
#[must_use]
pub fn bindings(bindings: &[BindingStatus]) -> String {
    let mut table = Table::new(&["BINDING", "TYPE", "STATE", "OK", "FAILED", "RESTARTS", "LAST ERROR"], &[3, 4, 5]);
    for binding in bindings {
        table.row(vec![
            visible(&binding.name),
            visible(&binding.type_name),
            binding.state.as_str().to_owned(),
            binding.calls_ok.to_string(),
            binding.calls_failed.to_string(),
            binding.restarts.to_string(),
            binding.last_exit.as_ref().map(|exit| visible(&exit.reason)).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// Everything about one module, with the causes and the backtrace of its last exit.
#[must_use]
pub fn module(module: &ModuleStatus) -> String {
    let instances: Vec<String> =
        module.instances.iter().map(|instance| format!("id {} on worker {}", instance.id, instance.worker)).collect();
    let mut page = format!("{}: {}\n", visible(&module.name), module.state.as_str());
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            put(&mut page, format_args!("  {name:<12}{value}\n"));
        }
    };
    line("file", visible(&module.path));
    line("sha256", module.sha256.as_deref().map(visible).unwrap_or_default());
    line("generation", module.generation.to_string());
    line("instances", instances.join(", "));
    line("up", module.uptime_s.map(duration).unwrap_or_default());
    line("calls", format!("{} ok, {} failed, {} running", module.calls_ok, module.calls_failed, module.in_flight));
    line("queue", format!("{} calls, {}", module.queued, bytes(module.queued_bytes)));
    let counted = module.restarts_in_window;
    line("restarts", format!("{}, {counted} of them within the period and not followed by a success", module.restarts));
    if module.state == ModuleState::Failed {
        line("to revive", format!("wapcctl start {}", visible(&module.name)));
    }
    if let Some(exit) = &module.last_exit {
        page.push_str(&last_exit(exit));
    }
    page
}

/// What an action did: one line, and the last exit where the module has failed.
#[must_use]
pub fn outcome(module: &ModuleStatus) -> String {
    let mut text = format!("{}: {}, generation {}\n", visible(&module.name), module.state.as_str(), module.generation);
    if let (ModuleState::Failed, Some(exit)) = (module.state, &module.last_exit) {
        text.push_str(&last_exit(exit));
    }
    text
}

/// A problem on standard error: what happened, and where in the guest.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let mut text = lines(&problem.to_string());
    for frame in &problem.facts.backtrace {
        put(&mut text, format_args!("\n    at {}", visible(frame)));
    }
    text
}

fn last_exit(exit: &ExitStatus) -> String {
    let mut text = format!("  last exit   {}, {}", visible(&exit.reason), utc(exit.at));
    let named = |name: &str, value: Option<String>| value.map(|value| format!(", {name} {value}")).unwrap_or_default();
    text.push_str(&named("operation", exit.operation.as_deref().map(|name| format!("`{}`", visible(name)))));
    text.push_str(&named("call", exit.call.map(|call| call.to_string())));
    text.push_str(&named("from", exit.origin.as_deref().map(visible)));
    text.push('\n');
    for (depth, cause) in exit.causes.iter().enumerate() {
        put(&mut text, format_args!("    {}{}\n", if depth == 0 { "" } else { "because: " }, visible(cause)));
    }
    for frame in &exit.backtrace {
        put(&mut text, format_args!("      at {}\n", visible(frame)));
    }
    text
}

/// Appends formatted text; writing to a string cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}

/// The text on one line, with control characters written out.
#[must_use]
pub fn visible(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The text with its line breaks kept and all other control characters written out.
#[must_use]
pub fn lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// A time span in its two largest units.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match whole {
        0..60 => format!("{whole}s"),
        60..3_600 => format!("{minutes}m {}s", whole % 60),
        3_600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A size in the largest unit that leaves a number of at least one.
fn bytes(size: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = size as f64;
    let mut unit = "B";
    for next in units {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{size} B") } else { format!("{scaled:.1} {unit}") }
}

/// A time since the Unix epoch as RFC 3339 in UTC, to the second.
fn utc(epoch: f64) -> String {
    let seconds = epoch.max(0.0) as u64;
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date that lies so many days after 1970-01-01.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_utc_dates() {
        let table = [
            (0.0, "1970-01-01T00:00:00Z"),
            (951_782_400.9, "2000-02-29T00:00:00Z"),
            (1_735_689_599.0, "2024-12-31T23:59:59Z"),
            (4_107_542_400.0, "2100-03-01T00:00:00Z"),
        ];
        for (epoch, text) in table {
            assert_eq!(utc(epoch), text);
        }
    }

    #[test]
    fn spans_and_sizes_have_units() {
        let spans = [(0.4, "0s"), (59.9, "59s"), (61.0, "1m 1s"), (7_260.0, "2h 1m"), (180_000.0, "2d 2h")];
        for (seconds, text) in spans {
            assert_eq!(duration(seconds), text);
        }
        for (size, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB")] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn a_guests_escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(lines("one\n\u{9b}two"), "one\n\\u{9b}two");
    }
}
