//! What the daemon says about itself in four places: status, events, log and metrics, each as a test reads it.

use std::collections::BTreeMap;

use serde_json::Value;
use wapcd::supervisor::{
    events::{Event, Subject, What},
    status::{ExitStatus, ModuleStatus, WorkerState},
};

use crate::{
    client::{Client, Response},
    harness::{Daemon, eventually},
};

/// How often calls ended so, by the names of the status.
pub(crate) type Tally = BTreeMap<String, u64>;

/// The outcome in status and metrics of a call with this answer.
pub(crate) fn outcome(response: &Response) -> String {
    match response.kind().as_str() {
        "operation-too-large" | "payload-too-large" | "response-too-large" => "too_large".to_owned(),
        "load-failed" => "restart_failed".to_owned(),
        kind => kind.replace('-', "_"),
    }
}

/// Adds one tally to another.
pub(crate) fn add(to: &mut Tally, from: Tally) {
    for (key, count) in from {
        *to.entry(key).or_default() += count;
    }
}

/// Without what never happened.
pub(crate) fn counted(tally: &Tally) -> Tally {
    tally.iter().filter(|(_, count)| **count > 0).map(|(key, count)| (key.clone(), *count)).collect()
}

/// The metrics at one moment.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn of(client: &Client) -> Self {
        let response = client.request("GET", "/metrics", "", b"").unwrap();
        assert_eq!(response.status, 200);
        Self(response.text())
    }

    /// Every sample of this name with all of these labels, each written as `name="value"`.
    fn samples<'a>(&'a self, name: &'a str, labels: &'a [String]) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let own = sample.strip_prefix(name)?;
            let is_wanted = (own.is_empty() || own.starts_with('{')) && labels.iter().all(|label| own.contains(label));
            is_wanted.then(|| (own, value.parse().unwrap()))
        })
    }

    /// The only sample with these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = written(labels);
        let values: Vec<f64> = self.samples(name, &labels).map(|(_, value)| value).collect();
        assert_eq!(values.len(), 1, "{name} {labels:?}: {values:?}");
        values[0]
    }

    /// What was counted under each value of one label, without zeros.
    pub(crate) fn by(&self, name: &str, labels: &[(&str, &str)], label: &str) -> Tally {
        let start = format!("{label}=\"");
        let value_of = |own: &str| {
            let (_, rest) = own.split_once(&start).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let mut tally = Tally::new();
        for (own, value) in self.samples(name, &written(labels)) {
            *tally.entry(value_of(own)).or_default() += value as u64;
        }
        counted(&tally)
    }
}

fn written(labels: &[(&str, &str)]) -> Vec<String> {
    labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect()
}

impl Client {
    /// The events that are kept, oldest first.
    pub(crate) fn events(&self) -> Vec<Event> {
        let response = self.request("GET", "/v1/events", "", b"").unwrap();
        serde_json::from_slice(&response.body).unwrap()
    }

    /// What happened to one subject.
    pub(crate) fn events_of(&self, subject: &Subject) -> Vec<Event> {
        self.events().into_iter().filter(|event| event.subject == *subject).collect()
    }
}

impl Daemon {
    /// The lines of the log, those of panics left out.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until the log has the line about an event: lines are written by a thread of their own.
    pub(crate) fn wait_for_line(&self, seq: u64) {
        eventually("the log has the line", || self.log_lines().iter().any(|line| line["seq"] == seq));
    }

    /// The line of the log about an event.
    pub(crate) fn line_of(&self, event: &Event) -> Value {
        self.wait_for_line(event.seq);
        let lines: Vec<Value> = self.log_lines().into_iter().filter(|line| line["seq"] == event.seq).collect();
        assert_eq!(lines.len(), 1, "lines about {event:?}: {lines:?}");
        lines[0].clone()
    }

    /// Whether the status calls a worker stalled.
    pub(crate) fn is_stalled(&self, worker: usize) -> bool {
        self.status().workers[worker].state == WorkerState::Stalled
    }
}

/// Restarts that events tell of, by reason.
pub(crate) fn restarts_in(events: &[Event]) -> Tally {
    let mut tally = Tally::new();
    for event in events {
        if let What::Exited { exit, decision, .. } = &event.what
            && decision.starts_with("restart")
        {
            *tally.entry(exit.reason.clone()).or_default() += 1;
        }
    }
    tally
}

/// The last exit that events tell of.
pub(crate) fn last_exit_in(events: &[Event]) -> Option<(&Event, &ExitStatus)> {
    events.iter().rev().find_map(|event| match &event.what {
        What::Exited { exit, .. } => Some((event, exit)),
        _ => None,
    })
}

/// Checks that the metrics of a module say what its status says.
pub(crate) fn assert_metrics_of(module: &ModuleStatus, metrics: &Metrics) {
    let named = ("module", module.name.as_str());
    let calls = counted(&module.calls);
    assert_eq!(metrics.by("wapcd_calls_total", &[named], "outcome"), calls, "{module:?}");
    assert_eq!(calls.values().sum::<u64>(), module.calls_ok + module.calls_failed + module.calls_refused);
    let restarts = metrics.by("wapcd_module_restarts_total", &[named], "reason");
    assert_eq!(restarts, counted(&module.restarts_by_reason), "{module:?}");
    assert_eq!(restarts.values().sum::<u64>(), module.restarts, "{module:?}");
    let state = metrics.by("wapcd_module_state", &[named], "state");
    assert_eq!(state, Tally::from([(module.state.as_str().to_owned(), 1)]), "{module:?}");
    let took = metrics.value("wapcd_call_duration_seconds_count", &[named]) as u64;
    assert_eq!(took, module.calls_ok + module.calls_failed, "{module:?}");
    assert_eq!(metrics.value("wapcd_in_flight_calls", &[named]) as u64, module.in_flight);
    assert_eq!(metrics.value("wapcd_queue_calls", &[named]) as u64, module.queued);
    assert_eq!(metrics.value("wapcd_module_generation", &[named]) as u64, module.generation);
    assert_eq!(metrics.value("wapcd_module_instances", &[named]) as usize, module.instances.len());
}
