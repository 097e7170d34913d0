//! The words of a status: one line that tells an operator what is well and names what is not.

use crate::supervisor::{ReloadStep, Standing, Unwell, status::ModuleState};

/// Names that are told of what is not well; `wapcctl` has them all.
const NAMED: usize = 5;

/// Bytes of a status at most. The whole message may have 4,096, and whoever reads it has one line for it.
const LONGEST: usize = 1000;

/// While another configuration is read and prepared.
pub(super) const RELOADING: &str = "reloading the configuration";

/// The status of a daemon at work, with how the last reload ended.
pub(super) fn at_work(standing: &Standing, verdict: Option<&str>) -> String {
    let mut parts = vec![modules(standing)];
    if standing.triggers > 0 {
        let mut triggers = vec![counted(standing.triggers, "trigger")];
        triggers.extend(unwell_by_state(&standing.triggers_unwell));
        parts.push(triggers.join(", "));
    }
    if !standing.bindings_unwell.is_empty() {
        let states: Vec<_> = unwell_by_state(&standing.bindings_unwell).collect();
        parts.push(format!("bindings: {}", states.join(", ")));
    }
    parts.extend(standing.stalled.iter().map(|worker| format!("worker {worker} stalled")));
    parts.extend(verdict.map(str::to_owned));
    line(&parts.join("; "))
}

/// The status of a daemon that finishes what it has.
pub(super) fn stopping(why: &str, standing: &Standing) -> String {
    match standing.calls {
        0 => line(&format!("stopping: {why}")),
        calls => line(&format!("stopping: {why}; {} to finish", counted(calls, "call"))),
    }
}

/// How a reload ended.
pub(super) fn verdict(step: ReloadStep<'_>) -> String {
    match step {
        ReloadStep::Began => RELOADING.to_owned(),
        ReloadStep::Done(0) => "reloaded, nothing differs".to_owned(),
        ReloadStep::Done(changes) => format!("reloaded with {}", counted(changes, "change")),
        ReloadStep::Refused(problems) => {
            let first = problems.first().map_or("", String::as_str);
            match problems.len() {
                0 | 1 => line(&format!("reload refused: {first}")),
                many => line(&format!("reload refused: {first} (and {} more)", many - 1)),
            }
        }
    }
}

/// One line of text that fits: without control characters, which would end it or a message.
pub(super) fn line(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

/// How many modules are in which state; those that are not well by name.
fn modules(standing: &Standing) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (state, count) in &standing.modules {
        let noun = match (parts.is_empty(), count) {
            (false, _) => "",
            (true, 1) => " module",
            (true, _) => " modules",
        };
        let named = match state {
            ModuleState::Backoff | ModuleState::Failed => names(&standing.modules_unwell, state.as_str()),
            _ => String::new(),
        };
        parts.push(format!("{count}{noun} {}{named}", words(state.as_str())));
    }
    if parts.is_empty() { "no modules".to_owned() } else { parts.join(", ") }
}

/// How many are in which state, by name.
fn unwell_by_state(unwell: &[Unwell]) -> impl Iterator<Item = String> + '_ {
    ["backoff", "stopped", "failed", "disconnected"].into_iter().filter_map(move |state| {
        let count = unwell.iter().filter(|it| it.state == state).count();
        (count > 0).then(|| format!("{count} {}{}", words(state), names(unwell, state)))
    })
}

/// The first names of those in a state.
fn names(unwell: &[Unwell], state: &str) -> String {
    let all: Vec<&str> = unwell.iter().filter(|it| it.state == state).map(|it| &*it.name).collect();
    let more = all.len().saturating_sub(NAMED);
    let named = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match more {
        0 => format!(" ({named})"),
        more => format!(" ({named} and {more} more)"),
    }
}

/// A state in a sentence.
fn words(state: &str) -> &str {
    if state == "backoff" { "in back-off" } else { state }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwell(name: &str, state: &'static str) -> Unwell {
        Unwell { name: name.to_owned(), state }
    }

    #[test]
    fn what_is_well_is_counted_and_what_is_not_is_named() {
        let mut standing = Standing {
            modules: vec![(ModuleState::Running, 12), (ModuleState::Failed, 1)],
            modules_unwell: vec![unwell("orders", "failed")],
            triggers: 2,
            ..Standing::default()
        };
        assert_eq!(at_work(&standing, None), "12 modules running, 1 failed (orders); 2 triggers");
        standing.modules = vec![(ModuleState::Starting, 1), (ModuleState::Backoff, 7)];
        standing.modules_unwell = (0..7).map(|n| unwell(&format!("m{n}"), "backoff")).collect();
        standing.triggers = 1;
        standing.triggers_unwell = vec![unwell("web", "failed")];
        standing.bindings_unwell = vec![unwell("cache", "disconnected")];
        standing.stalled = vec![1];
        assert_eq!(
            at_work(&standing, Some("reload refused: no such key")),
            "1 module starting, 7 in back-off (m0, m1, m2, m3, m4 and 2 more); 1 trigger, 1 failed (web); bindings: \
             1 disconnected (cache); worker 1 stalled; reload refused: no such key"
        );
        assert_eq!(at_work(&Standing::default(), None), "no modules");
    }

    #[test]
    fn a_verdict_says_what_changed_or_why_nothing_did() {
        assert_eq!(verdict(ReloadStep::Done(0)), "reloaded, nothing differs");
        assert_eq!(verdict(ReloadStep::Done(1)), "reloaded with 1 change");
        let problems = ["a.toml:3: no such key\n  hint".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(
            verdict(ReloadStep::Refused(&problems)),
            "reload refused: a.toml:3: no such key   hint (and 2 more)"
        );
        assert_eq!(verdict(ReloadStep::Refused(problems.get(1..2).unwrap_or_default())), "reload refused: b");
    }

    #[test]
    fn a_stop_tells_what_it_waits_for() {
        let standing = Standing { calls: 3, ..Standing::default() };
        assert_eq!(stopping("SIGTERM", &standing), "stopping: SIGTERM; 3 calls to finish");
        assert_eq!(stopping("SIGTERM", &Standing::default()), "stopping: SIGTERM");
    }

    #[test]
    fn a_status_is_one_line_that_fits() {
        let long = line(&"ä\n".repeat(2000));
        assert!(long.len() <= LONGEST + '…'.len_utf8() && long.ends_with('…') && !long.contains('\n'), "{long}");
    }
}
