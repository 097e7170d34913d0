//! A line for an event.

use super::{
    exit,
    text::{short, utc_ms, visible},
};
use crate::supervisor::events::{Event, What};

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
            let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let next = next_try.map(|at| format!(", next try at {}", utc_ms(at))).unwrap_or_default();
            format!("{from} -> {to}{why}{next}")
        }
        What::Loaded { generation, sha256 } => {
            format!("loaded generation {generation}, sha256 {}", hash(sha256))
        }
        What::SwapBegan { generation, sha256, origin } => {
            format!("swap to generation {generation} begins, sha256 {}, from {}", hash(sha256), words(origin.as_str()))
        }
        What::InstanceSwapped { instance, generation, worker } => {
            format!("instance {instance} on worker {worker} runs generation {generation}")
        }
        What::Swapped { generation, before, sha256, origin } => {
            let (hash, origin) = (hash(sha256), words(origin.as_str()));
            format!("runs generation {generation} instead of {before}, sha256 {hash}, from {origin}")
        }
        What::SwapFailed { origin, sha256, why } => {
            let hash = sha256.as_deref().map(|sha256| format!(", sha256 {}", hash(sha256))).unwrap_or_default();
            format!("swap failed{hash}, from {}: {why} => the old code goes on", words(origin.as_str()))
        }
        What::ProbationFailed { generation, failures, of } => {
            format!("generation {generation} failed its probation: {failures} failures, {of} allowed => roll back")
        }
        What::ProbationPassed { generation } => format!("generation {generation} passed its probation"),
        What::Added => "added".to_owned(),
        What::Removed => "removed".to_owned(),
        What::Adjusted { keys } => format!("settings changed: {}", keys.join(", ")),
        What::Reloaded { why, changes } if changes.is_empty() => {
            format!("configuration reloaded ({why}): nothing differs")
        }
        What::Reloaded { why, changes } => format!("configuration reloaded ({why}): {}", changes.join(", ")),
        What::ReloadRefused { why, problems } => {
            format!("configuration refused ({why}), nothing has changed: {}", problems.join("; "))
        }
        What::FileRefused { file, why } => format!("file {file} refused: {why}"),
        What::InstanceStarted { instance, generation, worker } => {
            format!("instance {instance} of generation {generation} takes calls on worker {worker}")
        }
        What::Exited { instance, worker, exit, decision, backoff_s } => {
            let who = instance.map(|id| format!("instance {id} ")).unwrap_or_default();
            let place = worker.map(|worker| format!(" on worker {worker}")).unwrap_or_default();
            let causes = exit.causes.join(": ");
            let wait = backoff_s.filter(|wait| *wait > 0.0).map(|wait| format!(" in {}", short(wait)));
            let next = format!("{}{}", words(decision), wait.unwrap_or_default());
            let call = exit::call(exit);
            format!("{who}ended{place}: {}{call}: {causes} => {next}", exit.reason)
        }
        What::HealthFailed { instance, failures, of, why } => {
            let who = instance.map(|id| format!(" of instance {id}")).unwrap_or_default();
            let why = if why.is_empty() { "(no text)" } else { why };
            format!("health check{who} failed, {failures} of {of}: {why}")
        }
        What::GroupRestarts { because, members } => {
            format!("restarts {} because {because} ended", members.join(", "))
        }
        What::GroupGaveUp { because, decision } => {
            format!("restarted too often, last because of {because} => {}", words(decision))
        }
        What::Asked { action } => format!("an operator asked for: {action}"),
        What::WorkerStalled { stalled_s } => format!("STALLED for {}: something blocks its thread", short(*stalled_s)),
        What::WorkerRecovered { stalled_s } => format!("turns over again, after {}", short(*stalled_s)),
        What::WorkerReplaced { replaced } => format!("its thread ended and was replaced, {replaced} times by now"),
    }
}

/// The first characters of a hash: enough to tell it from others.
fn hash(sha256: &str) -> String {
    sha256.chars().take(12).collect()
}

/// A name in JSON as words.
fn words(decision: &str) -> String {
    decision.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{events::Subject, status::ExitStatus};

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
}
