//! The metrics of triggers: what all of them have, and what only one type has.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::{
    collector::{REASONS, named, state, tally},
    family::{Family, Labels},
};
use crate::{
    supervisor::status::{ServiceState, TriggerStatus},
    triggers::{Detail, TriggerFacts},
};

/// Answers by the first digit of their status, as a label.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Writes all families of triggers.
pub(super) fn triggers(encoder: &mut DescriptorEncoder<'_>, triggers: &[TriggerStatus]) -> fmt::Result {
    let states = ServiceState::ALL.map(ServiceState::as_str);
    Family::new("wapcd_trigger_state", "1 for the state that the trigger is in, 0 for the others")
        .gauges(encoder, triggers.iter().flat_map(|it| state("trigger", &it.name, states, it.state.as_str())))?;
    Family::new("wapcd_trigger_restarts", "Restarts of the trigger, by the reason of the exit before").counters(
        encoder,
        triggers.iter().flat_map(|it| tally("trigger", &it.name, "reason", &REASONS, &it.restarts_by_reason)),
    )?;
    Family::new(
        "wapcd_trigger_restarts_in_window",
        "Restarts that count towards the trigger's or its group's intensity",
    )
    .gauges(encoder, triggers.iter().map(|it| (named("trigger", &it.name), it.restarts_in_window)))?;
    let running: Vec<(&str, &TriggerFacts)> =
        triggers.iter().filter_map(|it| Some((it.name.as_str(), it.facts.as_ref()?))).collect();
    Family::new("wapcd_trigger_calls", "Guest calls of the trigger that ended since it was started, by how").counters(
        encoder,
        running.iter().flat_map(|(name, facts)| {
            [("ok", facts.calls_ok), ("failed", facts.calls_failed)]
                .map(|(outcome, count)| (vec![("trigger", *name), ("outcome", outcome)], count))
        }),
    )?;
    Family::new("wapcd_trigger_calls_running", "Guest calls of the trigger that wait or run")
        .gauges(encoder, running.iter().map(|(name, facts)| (named("trigger", name), facts.calls_running)))?;
    http(encoder, &running)?;
    schedule(encoder, &running)?;
    messages(encoder, &running)?;
    files(encoder, &running)
}

/// What those say of which this picks something.
fn of<'a, T>(running: &[(&'a str, &'a TriggerFacts)], pick: impl Fn(&'a Detail) -> Option<T>) -> Vec<(Labels<'a>, T)> {
    running.iter().filter_map(|(name, facts)| Some((named("trigger", name), pick(&facts.detail)?))).collect()
}

fn http(encoder: &mut DescriptorEncoder<'_>, running: &[(&str, &TriggerFacts)]) -> fmt::Result {
    let connections = of(running, |detail| match detail {
        Detail::Http { connections, .. } => Some(*connections),
        _ => None,
    });
    Family::new("wapcd_trigger_connections", "Connections at this moment").gauges(encoder, connections)?;
    let refused = of(running, |detail| match detail {
        Detail::Http { connections_refused, .. } => Some(*connections_refused),
        _ => None,
    });
    Family::new("wapcd_trigger_connections_refused", "Connections that were refused because there were too many")
        .counters(encoder, refused)?;
    let responses = of(running, |detail| match detail {
        Detail::Http { responses, .. } => Some(responses),
        _ => None,
    });
    Family::new("wapcd_trigger_responses", "Answers to requests, by the first digit of their status").counters(
        encoder,
        responses.iter().flat_map(|(labels, counts)| {
            let with = |class: &'static str| labels.iter().copied().chain([("class", class)]).collect::<Labels<'_>>();
            CLASSES.into_iter().map(with).zip(counts.iter().copied())
        }),
    )
}

fn schedule(encoder: &mut DescriptorEncoder<'_>, running: &[(&str, &TriggerFacts)]) -> fmt::Result {
    let late = of(running, |detail| match detail {
        Detail::Schedule { latest_s, .. } => Some(*latest_s),
        _ => None,
    });
    Family::seconds("wapcd_trigger_lateness", "By how much the latest call was late, jitter not counted")
        .gauges(encoder, late)?;
    let last = of(running, |detail| match detail {
        Detail::Schedule { last, .. } => *last,
        _ => None,
    });
    Family::seconds("wapcd_trigger_last_run_timestamp", "When the schedule called last, since the Unix epoch")
        .gauges(encoder, last)?;
    let next = of(running, |detail| match detail {
        Detail::Schedule { next, .. } => next.first().copied(),
        _ => None,
    });
    Family::seconds("wapcd_trigger_next_run_timestamp", "When the schedule calls next, since the Unix epoch")
        .gauges(encoder, next)?;
    let skipped = of(running, |detail| match detail {
        Detail::Schedule { skipped, .. } => Some(*skipped),
        _ => None,
    });
    Family::new("wapcd_trigger_skipped", "Times without a call, because the one before still ran")
        .counters(encoder, skipped)?;
    let missed = of(running, |detail| match detail {
        Detail::Schedule { missed, .. } => Some(*missed),
        _ => None,
    });
    Family::new("wapcd_trigger_missed", "Times that passed while the daemon was down or the machine asleep")
        .counters(encoder, missed)
}

fn messages(encoder: &mut DescriptorEncoder<'_>, running: &[(&str, &TriggerFacts)]) -> fmt::Result {
    let connected = of(running, |detail| match detail {
        Detail::Messages { connected, .. } => Some(u64::from(*connected)),
        _ => None,
    });
    Family::new("wapcd_trigger_connected", "Whether the trigger hears messages now").gauges(encoder, connected)?;
    let received = of(running, |detail| match detail {
        Detail::Messages { received, .. } => Some(*received),
        _ => None,
    });
    Family::new("wapcd_trigger_messages", "Messages that came, those that came again included")
        .counters(encoder, received)?;
    let again = of(running, |detail| match detail {
        Detail::Messages { redelivered, .. } => Some(*redelivered),
        _ => None,
    });
    Family::new("wapcd_trigger_messages_redelivered", "Messages that came again").counters(encoder, again)?;
    let given_up = of(running, |detail| match detail {
        Detail::Messages { given_up, .. } => Some(*given_up),
        _ => None,
    });
    Family::new("wapcd_trigger_messages_given_up", "Messages that failed as often as they may")
        .counters(encoder, given_up)?;
    let lost = of(running, |detail| match detail {
        Detail::Messages { lost, .. } => Some(*lost),
        _ => None,
    });
    Family::new("wapcd_trigger_messages_lost", "Messages that came faster than they were taken, and are gone")
        .counters(encoder, lost)
}

fn files(encoder: &mut DescriptorEncoder<'_>, running: &[(&str, &TriggerFacts)]) -> fmt::Result {
    let waiting = of(running, |detail| match detail {
        Detail::Files { waiting, .. } => Some(*waiting),
        _ => None,
    });
    Family::new("wapcd_trigger_files_waiting", "Files of the inbox that wait").gauges(encoder, waiting)?;
    let ended = of(running, |detail| match detail {
        Detail::Files { done, failed, .. } => Some([("done", *done), ("failed", *failed)]),
        _ => None,
    });
    Family::new("wapcd_trigger_files", "Files of the inbox that were done, or failed").counters(
        encoder,
        ended.iter().flat_map(|(labels, counts)| {
            let with = |outcome| labels.iter().copied().chain([("outcome", outcome)]).collect::<Labels<'_>>();
            counts.iter().map(move |(outcome, count)| (with(*outcome), *count))
        }),
    )
}
