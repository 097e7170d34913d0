//! The line of the log about each event.

use super::{Event, Subject, What};

/// The subject as log fields.
#[derive(Default)]
struct Names<'a> {
    module: Option<&'a str>,
    binding: Option<&'a str>,
    group: Option<&'a str>,
    trigger: Option<&'a str>,
    worker: Option<u64>,
}

impl<'a> From<&'a Subject> for Names<'a> {
    fn from(subject: &'a Subject) -> Self {
        let none = Self::default();
        match subject {
            Subject::Daemon => none,
            Subject::Module(name) => Self { module: Some(name), ..none },
            Subject::Binding(name) => Self { binding: Some(name), ..none },
            Subject::Group(name) => Self { group: Some(name), ..none },
            Subject::Trigger(name) => Self { trigger: Some(name), ..none },
            Subject::Worker(index) => Self { worker: Some(*index as u64), ..none },
        }
    }
}

/// One line of the log about an event.
macro_rules! line {
    ($level:ident, $event:expr, $text:literal $(, $field:ident = $value:expr)*) => {{
        let names = Names::from(&$event.subject);
        tracing::$level!(
            target: "wapcd::supervisor::events",
            module = names.module, binding = names.binding, group = names.group, trigger = names.trigger,
            worker = names.worker,
            seq = $event.seq $(, $field = $value)*, $text
        )
    }};
}

/// What happens at bindings. The circuit has told the log why a server is down, so that it also does outside the daemon.
fn binding(event: &Event) {
    match &event.what {
        What::BackendChanged { state, .. } => line!(info, event, "backend changed", state = state.as_str()),
        What::Denied { instance, call, binding, operation, why, times } => line!(
            warn,
            event,
            "host call denied",
            instance = *instance,
            call = *call,
            of_binding = binding.as_str(),
            operation = operation.as_str(),
            why = why.as_str(),
            times = *times
        ),
        _ => {}
    }
}

/// Writes an event to the log: an operator must look at what failed for good, and may look at what was mended.
pub(super) fn write(event: &Event) {
    match &event.what {
        What::HealthFailed { .. }
        | What::GroupRestarts { .. }
        | What::GroupGaveUp { .. }
        | What::WorkerStalled { .. }
        | What::WorkerRecovered { .. }
        | What::WorkerReplaced { .. } => tree(event),
        What::BackendChanged { .. } | What::Denied { .. } => binding(event),
        What::OnStartFailed { .. } | What::OnStopFailed { .. } => hook(event),
        What::Noticed { notice, untold } => {
            let text = notice.to_string();
            if notice.is_trouble() {
                line!(warn, event, "trigger has trouble", notice = text.as_str(), untold = *untold);
            } else {
                line!(info, event, "trigger noticed", notice = text.as_str(), untold = *untold);
            }
        }
        What::Loaded { .. }
        | What::SwapBegan { .. }
        | What::InstanceSwapped { .. }
        | What::Swapped { .. }
        | What::SwapFailed { .. }
        | What::ProbationFailed { .. }
        | What::ProbationPassed { .. } => code(event),
        What::Added
        | What::Removed
        | What::Adjusted { .. }
        | What::Reloaded { .. }
        | What::ReloadRefused { .. }
        | What::FileRefused { .. } => configuration(event),
        What::DaemonStarted { version } => line!(info, event, "daemon started", version = version.as_str()),
        What::DaemonDraining { why } => line!(info, event, "daemon drains", why = why.as_str()),
        What::StateChanged { from, to, why, .. } => {
            let (from, to, why) = (from.as_str(), to.as_str(), why.as_deref());
            match to {
                "failed" => line!(error, event, "state changed", from = from, to = to, error = why),
                "backoff" => line!(warn, event, "state changed", from = from, to = to, why = why),
                _ => line!(info, event, "state changed", from = from, to = to, why = why),
            }
        }
        What::InstanceStarted { instance, generation, worker } => {
            let (instance, generation, worker) = (*instance, *generation, *worker as u64);
            line!(info, event, "instance started", instance = instance, generation = generation, on_worker = worker);
        }
        What::Exited { instance, worker, exit, decision, backoff_s } => line!(
            warn,
            event,
            "child ended",
            instance = *instance,
            on_worker = worker.map(|worker| worker as u64),
            exit_reason = exit.reason.as_str(),
            error = exit.causes.join(": "),
            operation = exit.operation.as_deref(),
            call = exit.call,
            origin = exit.origin.as_deref(),
            decision = decision.as_str(),
            backoff_s = *backoff_s
        ),
        What::Asked { action } => line!(info, event, "asked by an operator", action = action.as_str()),
    }
}

/// Events about the calls with which a module starts and stops.
fn hook(event: &Event) {
    match &event.what {
        What::OnStartFailed { instance, operation, call, attempt, of, why, retry_s } => line!(
            warn,
            event,
            "on_start failed, it is called again",
            instance = *instance,
            operation = operation.as_str(),
            call = *call,
            attempt = *attempt,
            of = *of,
            error = why.as_str(),
            retry_s = *retry_s
        ),
        What::OnStopFailed { instance, operation, call, why } => line!(
            warn,
            event,
            "on_stop failed, the module stops all the same",
            instance = *instance,
            operation = operation.as_str(),
            call = *call,
            error = why.as_str()
        ),
        _ => {}
    }
}

/// Events about health, groups and workers.
fn tree(event: &Event) {
    match &event.what {
        What::HealthFailed { instance, failures, of, why } => {
            let why = why.as_str();
            line!(
                warn,
                event,
                "health check failed",
                instance = *instance,
                failures = *failures,
                of = *of,
                error = why
            );
        }
        What::GroupRestarts { because, members } => {
            line!(warn, event, "group restarts members", because = because.as_str(), members = members.join(", "));
        }
        What::GroupGaveUp { because, decision } => {
            line!(error, event, "group gave up", because = because.as_str(), decision = decision.as_str());
        }
        What::WorkerStalled { stalled_s } => line!(error, event, "worker stalled", stalled_s = *stalled_s),
        What::WorkerRecovered { stalled_s } => line!(warn, event, "worker recovered", stalled_s = *stalled_s),
        What::WorkerReplaced { replaced } => line!(error, event, "worker replaced", replaced = *replaced),
        _ => {}
    }
}

/// Events about the code of a module.
fn code(event: &Event) {
    match &event.what {
        What::Loaded { generation, sha256 } => {
            line!(info, event, "module loaded", generation = *generation, sha256 = sha256.as_str());
        }
        What::SwapBegan { generation, sha256, origin } => line!(
            info,
            event,
            "swap began",
            generation = *generation,
            sha256 = sha256.as_str(),
            origin = origin.as_str()
        ),
        What::InstanceSwapped { instance, generation, worker } => {
            let (instance, generation, worker) = (*instance, *generation, *worker as u64);
            line!(info, event, "instance swapped", instance = instance, generation = generation, on_worker = worker);
        }
        What::Swapped { generation, before, sha256, origin } => line!(
            info,
            event,
            "module swapped",
            generation = *generation,
            before = *before,
            sha256 = sha256.as_str(),
            origin = origin.as_str()
        ),
        What::SwapFailed { origin, sha256, why } => line!(
            error,
            event,
            "swap failed, the old code goes on",
            origin = origin.as_str(),
            sha256 = sha256.as_deref(),
            error = why.as_str()
        ),
        What::ProbationFailed { generation, failures, of } => line!(
            error,
            event,
            "generation failed its probation",
            generation = *generation,
            failures = *failures,
            of = *of
        ),
        What::ProbationPassed { generation } => {
            line!(info, event, "generation passed its probation", generation = *generation);
        }
        _ => {}
    }
}

/// Events about the configuration.
fn configuration(event: &Event) {
    match &event.what {
        What::Added => line!(info, event, "added"),
        What::Removed => line!(info, event, "removed"),
        What::Adjusted { keys } => line!(info, event, "settings changed", keys = keys.join(", ")),
        What::Reloaded { why, changes } => {
            line!(info, event, "configuration reloaded", why = why.as_str(), changes = changes.join(", "));
        }
        What::ReloadRefused { why, problems } => {
            line!(error, event, "configuration refused", why = why.as_str(), error = problems.join("; "));
        }
        What::FileRefused { file, why } => {
            line!(error, event, "file refused", file = file.as_str(), error = why.as_str());
        }
        _ => {}
    }
}
