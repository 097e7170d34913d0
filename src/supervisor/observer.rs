//! What the supervisor hears of bindings from whatever thread they are on.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Message, Recipient};
use parking_lot::Mutex;

use super::events::{Events, Subject, What};
use crate::bindings::{BackendStatus, Denial, Observer};

/// How long the same denial is only counted after it was told: a guest that asks in a loop must not push everything else out
/// of the events, and an operator who watches wants to see that it goes on.
const QUIET: Duration = Duration::from_secs(10);

/// Denials that are told apart. Beyond it those that are not quiet any more are forgotten, and if that is not enough, all.
const TOLD_APART: usize = 1024;

/// The backend of a binding, by its name, stands otherwise than before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct BackendChanged(pub(super) Arc<str>);

/// Turns what is heard into events, and tells the supervisor what may let modules start.
pub(super) struct Ear {
    events: Events,
    supervisor: Recipient<BackendChanged>,
    denials: Mutex<HashMap<(Arc<str>, String, String), Told>>,
}

/// When a denial was told, and how often it happened since.
struct Told {
    at: Instant,
    since: u64,
}

impl Ear {
    pub(super) fn new(events: Events, supervisor: Recipient<BackendChanged>) -> Self {
        Self { events, supervisor, denials: Mutex::default() }
    }

    /// Counts a denial; how often it happened if it is to be told now.
    fn due(&self, denial: &Denial<'_>, now: Instant) -> Option<u64> {
        let mut denials = self.denials.lock();
        if denials.len() >= TOLD_APART {
            denials.retain(|_, told| now.saturating_duration_since(told.at) < QUIET);
            if denials.len() >= TOLD_APART {
                denials.clear();
            }
        }
        let key = (Arc::clone(denial.module), denial.binding.to_owned(), denial.operation.to_owned());
        let Some(told) = denials.get_mut(&key) else {
            denials.insert(key, Told { at: now, since: 0 });
            return Some(1);
        };
        told.since += 1;
        if now.saturating_duration_since(told.at) < QUIET {
            return None;
        }
        told.at = now;
        Some(std::mem::take(&mut told.since))
    }
}

impl Observer for Ear {
    fn backend_changed(&self, binding: &Arc<str>, now: &BackendStatus) {
        let what = What::BackendChanged { state: now.state.as_str().to_owned(), why: now.why.clone() };
        self.events.record(Subject::Binding(Arc::clone(binding)), what);
        // A notice, rare and not to be lost.
        self.supervisor.do_send(BackendChanged(Arc::clone(binding)));
    }

    fn denied(&self, denial: Denial<'_>) {
        let Some(times) = self.due(&denial, Instant::now()) else { return };
        let Denial { module, instance, call, binding, operation, error } = denial;
        let (binding, operation, why) = (binding.to_owned(), operation.to_owned(), error.to_string());
        let what = What::Denied { instance, call, binding, operation, why, times };
        self.events.record(Subject::Module(Arc::clone(module)), what);
    }
}
