//! What status, events and log say of an exit, held against each other.

use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::ExitStatus,
};

use crate::{facts::last_exit_in, harness::Daemon};

/// What every exit must say, wherever it is told.
pub(crate) fn assert_exit(exit: &ExitStatus, reason: &str, cause: &str, frames: &[&str]) {
    assert_eq!(exit.reason, reason, "{exit:?}");
    assert!(exit.causes.join(": ").contains(cause), "{cause}: {exit:?}");
    for (at, frame) in frames.iter().enumerate() {
        assert!(exit.backtrace.get(at).is_some_and(|line| line.contains(frame)), "{frame}: {exit:?}");
    }
}

/// The event and the log line of the last exit say what the status says.
pub(crate) fn assert_told(daemon: &Daemon, subject: &Subject, exit: &ExitStatus) {
    let events = daemon.events_of(subject);
    let Some((event, told)) = last_exit_in(&events) else { panic!("no exit among {events:?}") };
    assert_eq!(told, exit, "{subject}");
    let line = daemon.line_of(event);
    assert_eq!((&line["message"], &line["level"]), (&"child ended".into(), &"WARN".into()), "{line}");
    assert_eq!(
        (line["exit_reason"].as_str(), line["error"].as_str()),
        (Some(&*exit.reason), Some(&*exit.causes.join(": ")))
    );
    assert_eq!(
        (line["operation"].as_str(), line["origin"].as_str()),
        (exit.operation.as_deref(), exit.origin.as_deref())
    );
    assert_eq!((line["call"].as_u64(), line.get("call").is_some()), (exit.call, exit.call.is_some()), "{line}");
}

/// The last change of state among the events leads to this one, and so does its line in the log.
pub(crate) fn assert_state_told(daemon: &Daemon, subject: &Subject, state: &str) {
    let events = daemon.events_of(subject);
    let change = |event: &&Event| matches!(event.what, What::StateChanged { .. });
    let Some(event) = events.iter().rfind(change) else { panic!("no change of state among {events:?}") };
    assert!(matches!(&event.what, What::StateChanged { to, .. } if to == state), "{state}: {event:?}");
    assert_eq!(daemon.line_of(event)["to"], state);
}
