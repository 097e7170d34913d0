//! What the service manager was told last, and what follows from that: nothing is told twice, and nothing out of turn.

use std::{os::fd::OwnedFd, time::Duration};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::{
    notifier::{Message, Notifier},
    text,
};
use crate::supervisor::{ReloadStep, Standing};

/// What the service manager takes the daemon to be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not said that it is ready.
    Starting,
    /// It is at work.
    Ready,
    /// It is at work and takes another configuration.
    Reloading,
    /// It ends.
    Stopping,
}

/// What is told, and was told.
#[derive(Debug)]
pub(super) struct Board {
    notifier: Notifier,
    told: Mutex<Told>,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Default)]
struct Told {
    /// The status.
    status: String,
    /// How the last reload ended.
    verdict: Option<String>,
    /// Why it stops.
    why: String,
}

impl Board {
    pub(super) fn new(notifier: Notifier) -> Self {
        Self { notifier, told: Mutex::default(), phase: watch::Sender::new(Phase::Starting) }
    }

    /// What it is doing, and from then on every change of that.
    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Tells how the daemon stands, and that it is ready as soon as it is; what it is doing now.
    pub(super) fn show(&self, standing: &Standing) -> Phase {
        let mut told = self.told.lock();
        let phase = *self.phase.borrow();
        let text = match phase {
            Phase::Stopping => text::stopping(&told.why, standing),
            Phase::Starting | Phase::Ready | Phase::Reloading => text::at_work(standing, told.verdict.as_deref()),
        };
        let status = format!("STATUS={text}");
        if phase == Phase::Starting && standing.start.undecided == 0 {
            told.status = text;
            self.enter(Phase::Ready, &["READY=1", &status]);
            return Phase::Ready;
        }
        if told.status != text {
            told.status = text;
            self.send(&[&status]);
        }
        phase
    }

    /// Tells of a reload. One during the start or the end is not the service manager's business: to it, that it was ready
    /// after it would be that it is ready.
    pub(super) fn reload(&self, step: ReloadStep<'_>) {
        let mut told = self.told.lock();
        let phase = *self.phase.borrow();
        match step {
            ReloadStep::Began => {
                told.verdict = Some(text::RELOADING.to_owned());
                if phase == Phase::Ready {
                    told.status = text::RELOADING.to_owned();
                    let status = format!("STATUS={}", text::RELOADING);
                    self.enter(Phase::Reloading, &["RELOADING=1", &format!("MONOTONIC_USEC={}", now_us()), &status]);
                }
            }
            ReloadStep::Done(_) | ReloadStep::Refused(_) => {
                let verdict = text::verdict(step);
                if phase == Phase::Reloading {
                    told.status = verdict.clone();
                    self.enter(Phase::Ready, &["READY=1", &format!("STATUS={verdict}")]);
                }
                told.verdict = Some(verdict);
            }
        }
    }

    /// Tells that the daemon begins to stop.
    pub(super) fn stop(&self, why: &str) {
        let mut told = self.told.lock();
        told.why = why.to_owned();
        told.status = text::stopping(why, &Standing::default());
        let status = format!("STATUS={}", told.status);
        self.enter(Phase::Stopping, &["STOPPING=1", &status]);
    }

    /// Tells why the daemon ends.
    pub(super) fn fail(&self, why: &str) {
        let mut told = self.told.lock();
        told.status = text::line(why);
        let status = format!("STATUS={}", told.status);
        self.enter(Phase::Stopping, &[&status]);
    }

    /// Asks for so much more time for what is under way.
    pub(super) fn extend(&self, by: Duration) {
        self.send(&[&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros())]);
    }

    /// Gives a sign of life.
    pub(super) fn live(&self) {
        self.send(&["WATCHDOG=1"]);
    }

    /// Lets the service manager keep a socket under that name.
    pub(super) fn store(&self, name: &str, socket: OwnedFd) {
        let lines = ["FDSTORE=1", &format!("FDNAME={name}")];
        self.notifier.send(Message::with_descriptor(&lines, socket));
    }

    /// Lets it close what it keeps under that name.
    pub(super) fn remove(&self, name: &str) {
        self.send(&["FDSTOREREMOVE=1", &format!("FDNAME={name}")]);
    }

    /// Sends what the service manager did not take before; whether it has everything.
    pub(super) fn flush(&self) -> bool {
        self.notifier.flush()
    }

    fn enter(&self, phase: Phase, lines: &[&str]) {
        self.send(lines);
        self.phase.send_replace(phase);
    }

    fn send(&self, lines: &[&str]) {
        self.notifier.send(Message::new(lines));
    }
}

/// The clock that the service manager compares with its own.
fn now_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}
