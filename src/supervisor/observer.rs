//! What the supervisor hears of bindings from whatever thread they are on.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Message, Recipient};
use parking_lot::Mutex;

use super::events::{Events, Subject, What};
use crate::{
    bindings::{BackendStatus, Denial, Observer},
    triggers::{Notice, TriggerObserver},
};

/// How long the same denial is only counted after it was told: a guest that asks in a loop must not push everything else out
/// of the events, and an operator who watches wants to see that it goes on.
const QUIET: Duration = Duration::from_secs(10);

/// Denials of one module that are told apart: guests choose names, and one that makes them up must not fill the events. What is
/// beyond it is counted together, under the first of them.
const TOLD_APART: usize = 16;

/// Notices of one trigger that are told within [`QUIET`]; the rest is counted. A directory full of bad files must not push
/// everything else out of the events.
const TOLD_AT_ONCE: u32 = 20;

/// The backend of a binding, by its name, stands otherwise than before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct BackendChanged(pub(super) Arc<str>);

/// Turns what is heard into events, and tells the supervisor what may let modules start.
pub(super) struct Ear {
    events: Events,
    supervisor: Recipient<BackendChanged>,
    /// By module.
    denials: Mutex<HashMap<Arc<str>, Denials>>,
    /// By trigger.
    notices: Mutex<HashMap<Arc<str>, Notices>>,
}

/// What one module was denied, by binding and operation.
type Denials = HashMap<(String, String), Told>;

/// When a denial was told, and how often it happened since.
struct Told {
    at: Option<Instant>,
    since: u64,
}

impl Ear {
    pub(super) fn new(events: Events, supervisor: Recipient<BackendChanged>) -> Self {
        Self { events, supervisor, denials: Mutex::default(), notices: Mutex::default() }
    }

    /// Counts a denial; how often it happened if it is to be told now.
    fn due(&self, denial: &Denial<'_>, now: Instant) -> Option<u64> {
        let mut denials = self.denials.lock();
        let of_module = denials.entry(Arc::clone(denial.module)).or_default();
        let mut key = (denial.binding.to_owned(), denial.operation.to_owned());
        if !of_module.contains_key(&key) && of_module.len() >= TOLD_APART {
            of_module.retain(|_, told| !told.is_due(now));
            if of_module.len() >= TOLD_APART {
                // Nothing that can be called has an empty name.
                key = (String::new(), String::new());
            }
        }
        let told = of_module.entry(key).or_insert(Told { at: None, since: 0 });
        told.since += 1;
        if !told.is_due(now) {
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.since))
    }
}

impl Told {
    /// Whether the next one is told.
    fn is_due(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET)
    }
}

/// What happened in one trigger lately.
struct Notices {
    /// Since when it is counted.
    since: Instant,
    /// How much was told since then.
    told: u32,
    /// How much was not, since the last that was.
    untold: u64,
}

impl Notices {
    /// Whether another time of counting begins.
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= QUIET
    }
}

impl TriggerObserver for Ear {
    fn noticed(&self, trigger: &Arc<str>, notice: Notice) {
        let now = Instant::now();
        let mut notices = self.notices.lock();
        // Of those that are quiet nothing is to be known, and names of removed triggers do not gather.
        notices.retain(|name, lately| name == trigger || lately.untold > 0 || !lately.is_over(now));
        let of_trigger = notices.entry(Arc::clone(trigger)).or_insert(Notices { since: now, told: 0, untold: 0 });
        if of_trigger.is_over(now) {
            (of_trigger.since, of_trigger.told) = (now, 0);
        }
        if of_trigger.told >= TOLD_AT_ONCE {
            of_trigger.untold += 1;
            return;
        }
        of_trigger.told += 1;
        let untold = std::mem::take(&mut of_trigger.untold);
        drop(notices);
        self.events.record(Subject::Trigger(Arc::clone(trigger)), What::Noticed { notice, untold });
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

    fn module_removed(&self, module: &str) {
        self.denials.lock().remove(module);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use actix::{Actor, Context, Handler};

    use super::*;
    use crate::host::{HostCallError, HostErrorKind};

    struct Nobody;

    impl Actor for Nobody {
        type Context = Context<Self>;
    }

    impl Handler<BackendChanged> for Nobody {
        type Result = ();

        fn handle(&mut self, _: BackendChanged, _: &mut Self::Context) {}
    }

    fn told(work: impl FnOnce(&Ear, &dyn Fn(&str, Instant) -> Option<u64>)) {
        actix::System::new().block_on(async {
            let ear = Ear::new(Events::default(), Nobody.start().recipient());
            let (module, error) = (Arc::from("m"), HostCallError::new(HostErrorKind::NotAllowed, "no"));
            let due = |operation: &str, at: Instant| {
                let denial = Denial { module: &module, instance: 1, call: 2, binding: "b", operation, error: &error };
                ear.due(&denial, at)
            };
            work(&ear, &due);
        });
    }

    #[test]
    fn the_same_denial_is_told_again_after_a_while_with_how_often_it_happened() {
        told(|_, due| {
            let start = Instant::now();
            assert_eq!(due("get", start), Some(1));
            assert_eq!(due("set", start), Some(1));
            assert!((0..100).all(|_| due("get", start).is_none()));
            assert_eq!(due("get", start + QUIET), Some(101));
            assert_eq!(due("get", start + QUIET), None);
        });
    }

    #[test]
    fn made_up_names_are_told_together() {
        told(|ear, due| {
            let start = Instant::now();
            let events = (0..10_000).filter(|n| due(&format!("made up {n}"), start).is_some()).count();
            assert_eq!(events, TOLD_APART + 1);
            let next = (0..10_000).filter(|n| due(&format!("made up {n}"), start + QUIET).is_some()).count();
            assert!(next <= TOLD_APART + 1, "{next}");
            assert!(ear.denials.lock().values().all(|of_module| of_module.len() <= TOLD_APART + 1));
            ear.module_removed("m");
            assert!(ear.denials.lock().is_empty());
        });
    }
}
