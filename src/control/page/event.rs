//! A line for an event.

use super::{
    exit,
    text::{hash, in_one_line, short, utc_ms, visible, words},
};
use crate::supervisor::{
    events::{Event, What},
    status::{ExitStatus, GenerationOrigin},
};

/// When, whose, and what happened, on one line.
#[must_use]
pub fn event(event: &Event) -> String {
    format!("{}  {}  {}", utc_ms(event.at), visible(&event.subject.to_string()), visible(&what(&event.what)))
}

/// The line in place of events that were pushed out of the log before this reader had them.
#[must_use]
pub fn lost(count: u64) -> String {
    format!("({count} events were lost: they came faster than they were read)")
}

fn what(what: &What) -> String {
    match what {
        What::DaemonStarted { version } => format!("started, version {version}"),
        What::DaemonDraining { why } => format!("stops: {why}"),
        What::StateChanged { from, to, why, next_try } => {
            let next = next_try.map(|at| format!(", next try at {}", utc_ms(at))).unwrap_or_default();
            format!("{from} -> {to}{}{next}", with(": ", why.as_deref()))
        }
        What::Loaded { .. }
        | What::SwapBegan { .. }
        | What::InstanceSwapped { .. }
        | What::Swapped { .. }
        | What::SwapFailed { .. }
        | What::ProbationFailed { .. }
        | What::ProbationPassed { .. } => of_code(what),
        What::Added => "added".to_owned(),
        What::Removed => "removed".to_owned(),
        What::Adjusted { keys } => format!("settings changed: {}", keys.join(", ")),
        What::Reloaded { why, changes } => {
            let changes = if changes.is_empty() { "nothing differs".to_owned() } else { changes.join(", ") };
            format!("configuration reloaded ({why}): {changes}")
        }
        What::ReloadRefused { why, problems } => {
            let problems: Vec<String> = problems.iter().map(|problem| in_one_line(problem)).collect();
            format!("configuration refused ({why}), nothing has changed: {}", problems.join("; "))
        }
        What::FileRefused { file, why } => format!("file {file} refused: {}", in_one_line(why)),
        What::InstanceStarted { instance, generation, worker } => {
            format!("instance {instance} of generation {generation} takes calls on worker {worker}")
        }
        What::Exited { instance, worker, exit, decision, backoff_s } => {
            let who = instance.map(|id| format!("instance {id} ")).unwrap_or_default();
            let place = worker.map(|worker| format!(" on worker {worker}")).unwrap_or_default();
            format!("{who}ended{place}: {} => {}", ended(exit), next(decision, *backoff_s))
        }
        What::OnStartFailed { .. } | What::OnStopFailed { .. } => of_hook(what),
        What::HealthFailed { instance, failures, of, why } => {
            let who = instance.map(|id| format!(" of instance {id}")).unwrap_or_default();
            let why = if why.is_empty() { "(no text)" } else { why };
            format!("health check{who} failed, {failures} of {of}: {why}")
        }
        What::GroupRestarts { because, members } => format!("restarts {} because {because} ended", members.join(", ")),
        What::GroupGaveUp { because, decision } => {
            format!("restarted too often, last because of {because} => {}", words(decision))
        }
        What::BackendChanged { state, why } => format!("its backend is {state}{}", with(": ", why.as_deref())),
        What::Noticed { notice, untold: 0 } => notice.to_string(),
        What::Noticed { notice, untold } => format!("{notice} (and {untold} more since)"),
        What::Denied { binding, operation, why, times, .. } => denied(binding, operation, why, *times),
        What::Asked { action } => format!("an operator asked for: {action}"),
        What::WorkerStalled { stalled_s } => format!("STALLED for {}: something blocks its thread", short(*stalled_s)),
        What::WorkerRecovered { stalled_s } => format!("turns over again, after {}", short(*stalled_s)),
        What::WorkerReplaced { replaced } => format!("its thread ended and was replaced, {replaced} times by now"),
    }
}

/// What `on_start` and `on_stop` end with.
fn of_hook(what: &What) -> String {
    match what {
        What::OnStartFailed { instance, operation, attempt, of, why, retry_s, .. } => {
            let (operation, why) = (in_one_line(operation), in_one_line(why));
            let wait = short(*retry_s);
            format!(
                "on_start {operation} on instance {instance} failed, attempt {attempt} of {of}: {why} => again in {wait}"
            )
        }
        What::OnStopFailed { instance, operation, why, .. } => {
            format!("on_stop {} on instance {instance} failed: {}", in_one_line(operation), in_one_line(why))
        }
        _ => String::new(),
    }
}

/// What happens to a module's code.
fn of_code(what: &What) -> String {
    match what {
        What::Loaded { generation, sha256 } => format!("loaded generation {generation}, sha256 {}", hash(sha256)),
        What::SwapBegan { generation, sha256, origin } => {
            format!("swap to generation {generation} begins{}", code(Some(sha256), *origin))
        }
        What::InstanceSwapped { instance, generation, worker } => {
            format!("instance {instance} on worker {worker} runs generation {generation}")
        }
        What::Swapped { generation, before, sha256, origin } => {
            format!("runs generation {generation} instead of {before}{}", code(Some(sha256), *origin))
        }
        What::SwapFailed { origin, sha256, why } => {
            format!("swap failed{}: {why} => the old code goes on", code(sha256.as_deref(), *origin))
        }
        What::ProbationFailed { generation, failures, of } => {
            format!("generation {generation} failed its probation: {failures} failures, {of} allowed => roll back")
        }
        What::ProbationPassed { generation } => format!("generation {generation} passed its probation"),
        _ => String::new(),
    }
}

fn denied(binding: &str, operation: &str, why: &str, times: u64) -> String {
    let (binding, operation, why) = (in_one_line(binding), in_one_line(operation), in_one_line(why));
    let times = if times > 1 { format!(", {times} times") } else { String::new() };
    format!("denied: {operation} of binding {binding}{times}: {why}")
}

/// The text behind what introduces it; nothing where there is none.
fn with(introduction: &str, text: Option<&str>) -> String {
    text.map(|text| format!("{introduction}{text}")).unwrap_or_default()
}

/// Which code, and where it came from.
fn code(sha256: Option<&str>, origin: GenerationOrigin) -> String {
    let hash = sha256.map(hash);
    format!("{}, from {}", with(", sha256 ", hash.as_deref()), words(origin.as_str()))
}

fn ended(exit: &ExitStatus) -> String {
    format!("{}{}: {}", exit.reason, exit::call(exit), exit.causes.join(": "))
}

fn next(decision: &str, backoff_s: Option<f64>) -> String {
    let wait = backoff_s.filter(|wait| *wait > 0.0).map(short);
    format!("{}{}", words(decision), with(" in ", wait.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::events::Subject;

    fn line(subject: Subject, what: What) -> String {
        event(&Event { seq: 1, at: 951_782_400.25, subject, what })
    }

    #[test]
    fn an_exit_tells_reason_call_cause_and_what_follows() {
        let exit = ExitStatus {
            reason: "trapped".into(),
            causes: vec!["the guest trapped".into(), "\u{1b}[31mred".into()],
            backtrace: Vec::new(),
            operation: Some("feed".into()),
            call: Some(41),
            origin: Some("control".into()),
            at: 951_782_400.0,
        };
        let (decision, backoff_s) = ("restart".into(), Some(0.2));
        let what = What::Exited { instance: Some(5), worker: Some(1), exit, decision, backoff_s };
        assert_eq!(
            line(Subject::Module("pets".into()), what),
            "2000-02-29T00:00:00.250Z  module pets  instance 5 ended on worker 1: trapped, operation `feed`, call 41, \
             from control: the guest trapped: \\u{1b}[31mred => restart in 200ms"
        );
    }

    #[test]
    fn a_change_of_state_tells_the_next_try_as_a_time_and_a_check_without_a_text_says_so() {
        let (from, to) = ("running".into(), "backoff".into());
        let what = What::StateChanged { from, to, why: Some("trapped".into()), next_try: Some(951_782_403.5) };
        assert_eq!(
            line(Subject::Binding("cache".into()), what),
            "2000-02-29T00:00:00.250Z  binding cache  running -> backoff: trapped, next try at 2000-02-29T00:00:03.500Z"
        );
        let check = What::HealthFailed { instance: Some(3), failures: 1, of: 3, why: String::new() };
        assert!(line(Subject::Module("pets".into()), check).ends_with("of instance 3 failed, 1 of 3: (no text)"));
        assert!(
            line(Subject::Worker(2), What::WorkerStalled { stalled_s: 1.5 }).contains("worker 2  STALLED for 1.5s")
        );
    }

    #[test]
    fn a_swap_tells_generation_hash_and_origin() {
        let (sha256, origin) = ("0123456789abcdef".repeat(4), GenerationOrigin::RollBack);
        let table = [
            (
                What::SwapBegan { generation: 4, sha256: sha256.clone(), origin: GenerationOrigin::File },
                "swap to generation 4 begins, sha256 0123456789ab, from file",
            ),
            (
                What::InstanceSwapped { instance: 7, generation: 4, worker: 1 },
                "instance 7 on worker 1 runs generation 4",
            ),
            (
                What::Swapped { generation: 4, before: 3, sha256: sha256.clone(), origin },
                "runs generation 4 instead of 3, sha256 0123456789ab, from roll back",
            ),
            (
                What::SwapFailed { origin: GenerationOrigin::Operator, sha256: None, why: "a\u{7}\nb".into() },
                "swap failed, from operator: a\\u{7}\\nb => the old code goes on",
            ),
            (
                What::SwapFailed { origin, sha256: Some(sha256), why: "no".into() },
                "swap failed, sha256 0123456789ab, from roll back: no => the old code goes on",
            ),
            (
                What::ProbationFailed { generation: 4, failures: 3, of: 2 },
                "generation 4 failed its probation: 3 failures, 2 allowed => roll back",
            ),
            (What::ProbationPassed { generation: 4 }, "generation 4 passed its probation"),
        ];
        for (what, text) in table {
            assert_eq!(
                line(Subject::Module("pets".into()), what),
                format!("2000-02-29T00:00:00.250Z  module pets  {text}")
            );
        }
    }

    #[test]
    fn a_reload_tells_who_asked_and_what_differs_or_is_wrong() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let why = || "SIGHUP".to_owned();
        let table = [
            (What::Added, "added"),
            (What::Removed, "removed"),
            (What::Adjusted { keys: texts(&["limits.memory", "links"]) }, "settings changed: limits.memory, links"),
            (
                What::Reloaded { why: why(), changes: texts(&["swap modules.a", "add modules.b"]) },
                "configuration reloaded (SIGHUP): swap modules.a, add modules.b",
            ),
            (What::Reloaded { why: why(), changes: Vec::new() }, "configuration reloaded (SIGHUP): nothing differs"),
            (
                What::ReloadRefused { why: why(), problems: texts(&["w.toml:3: `\u{1b}`", "w.toml:9: no"]) },
                "configuration refused (SIGHUP), nothing has changed: w.toml:3: `\\u{1b}`; w.toml:9: no",
            ),
            (What::FileRefused { file: "a\n.wasm".into(), why: "no".into() }, "file a\\n.wasm refused: no"),
        ];
        for (what, text) in table {
            assert_eq!(line(Subject::Daemon, what), format!("2000-02-29T00:00:00.250Z  daemon  {text}"));
        }
    }
}
