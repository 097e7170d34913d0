//! What stands between calls and a server that may be down.
//!
//! ```text
//!  Connecting ── first try succeeds ──▶ Connected ── so many failures in a row, and a try fails ──▶ Disconnected
//!      └──────── it fails ──────────────────▲──────────────────────────────────────────────────────────▲ │
//!                                           └──────────────────── a try succeeds ────────────────────────┘ with back-off
//! ```
//!
//! While it is disconnected calls are answered with `unavailable` at once, and nobody's call is used to find out whether the
//! server is back: that is asked on a task of its own. In the first moments, when nothing is known yet, calls wait.
//!
//! Failures alone do not disconnect: a guest that asks for what takes too long, or makes the server hang up, would take the
//! binding away from all others. They make the server be asked, and its answer decides.

use std::{
    fmt::Display,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, sync::watch};

use super::{BackendState, BackendStatus, Check, Observer};
use crate::{
    config::Circuit as Settings,
    host::{BoxError, HostCallError, HostErrorKind, chain, panic_message},
};

/// How long a suspected server may take to answer: it was well a moment ago, and calls go on hanging meanwhile.
const SUSPECT_PATIENCE: Duration = Duration::from_secs(1);

/// Asks the server whether it answers, by way of everything that a call needs.
pub(super) type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// Why a call did not get its answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server was not reached, or what it said cannot be understood: it counts against the server.
    Server(BoxError),
    /// The server, or the code before it, refused this very request.
    Request(HostCallError),
}

impl From<HostCallError> for Failure {
    fn from(error: HostCallError) -> Self {
        Self::Request(error)
    }
}

/// The circuit of one binding; clones share it, and the last one ends the tries.
#[derive(Clone)]
pub(super) struct Circuit(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    settings: Settings,
    /// How long one try may take.
    patience: Duration,
    observer: Arc<dyn Observer>,
    io: Handle,
    probe: Probe,
    state: Mutex<State>,
    /// Wakes calls that wait for the first try.
    known: watch::Sender<bool>,
}

struct State {
    /// Failures in a row while connected.
    failures: u32,
    /// Whether it is being asked because of them.
    suspected: bool,
    now: BackendStatus,
}

impl Circuit {
    /// A circuit that tries the server at once.
    pub(super) fn new(
        name: Arc<str>,
        settings: Settings,
        patience: Duration,
        observer: Arc<dyn Observer>,
        io: Handle,
        probe: Probe,
    ) -> Self {
        let now = BackendStatus {
            state: BackendState::Connecting,
            since: SystemTime::now(),
            why: None,
            next_try: None,
            tries: 0,
        };
        let state = Mutex::new(State { failures: 0, suspected: false, now });
        let (known, _) = watch::channel(false);
        let inner = Arc::new(Inner { name, settings, patience, observer, io, probe, state, known });
        inner.try_until_connected(patience);
        Self(inner)
    }

    /// Does a call's work where the server is connected, and learns from its outcome.
    ///
    /// # Errors
    /// `unavailable` where the server is down or fails, else what the work says. Work that is dropped before its end, since
    /// nobody waits any longer, counts as a failure of the server.
    pub(super) async fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, HostCallError> {
        self.admit().await?;
        let unanswered = Unanswered { circuit: Some(&self.0), since: Instant::now() };
        let outcome = work.await;
        unanswered.answered();
        match outcome {
            Ok(value) => {
                self.0.succeeded();
                Ok(value)
            }
            Err(Failure::Request(error)) => {
                self.0.succeeded();
                Err(error)
            }
            Err(Failure::Server(error)) => {
                self.0.failed(&chain(&*error));
                let text = format!("the server of binding `{}` failed", self.0.name);
                Err(HostCallError::with_source(HostErrorKind::Unavailable, text, error))
            }
        }
    }

    /// Lets a call through, after a wait where nothing is known of the server yet. For calls that wait for a turn before they
    /// are run: it says nothing of the server, and is of no use while that is down.
    ///
    /// # Errors
    /// `unavailable` where the server is down.
    pub(super) async fn admit(&self) -> Result<(), HostCallError> {
        if !*self.0.known.borrow() {
            // The sender lives as long as this.
            self.0.known.subscribe().wait_for(|known| *known).await.ok();
        }
        let state = self.0.state.lock();
        match state.now.state {
            BackendState::Connected | BackendState::Connecting => Ok(()),
            BackendState::Disconnected => {
                let why = state.now.why.as_deref().unwrap_or("it does not answer");
                let text = format!("the server of binding `{}` is down: {why}", self.0.name);
                Err(HostCallError::new(HostErrorKind::Unavailable, text))
            }
        }
    }

    /// Hears that the connection is lost, which no number of failures can make clearer: the server is asked at once.
    pub(super) fn lost(&self, why: &dyn Display) {
        let state = self.0.state.lock();
        if state.now.state == BackendState::Connected {
            self.0.suspect(state, why);
        }
    }

    /// How the binding stands with the server.
    pub(super) fn status(&self) -> BackendStatus {
        self.0.state.lock().now.clone()
    }

    /// Asks the server now, for a health check.
    pub(super) fn check(&self) -> Check {
        let probe = Arc::clone(&self.0.probe);
        let asked = super::io::run(&self.0.io, async move { probe().await });
        Box::pin(async move {
            match asked.await {
                Ok(outcome) => outcome.map_err(|error| chain(&*error)),
                Err(panic) => Err(panic.to_string()),
            }
        })
    }
}

/// A call whose outcome is not known yet.
struct Unanswered<'c> {
    circuit: Option<&'c Arc<Inner>>,
    since: Instant,
}

impl Unanswered<'_> {
    fn answered(mut self) {
        self.circuit = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = self.circuit {
            circuit.failed(&format_args!("no answer within {} ms", self.since.elapsed().as_millis()));
        }
    }
}

impl Inner {
    fn succeeded(&self) {
        let mut state = self.state.lock();
        if state.failures > 0 {
            state.failures = 0;
        }
    }

    fn failed(self: &Arc<Self>, why: &dyn Display) {
        let mut state = self.state.lock();
        if state.now.state != BackendState::Connected {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.settings.failures {
            self.suspect(state, why);
        }
    }

    /// Asks the server, unless that is being done.
    fn suspect(self: &Arc<Self>, mut state: MutexGuard<'_, State>, why: &dyn Display) {
        if state.suspected {
            return;
        }
        state.suspected = true;
        drop(state);
        tracing::debug!(binding = &*self.name, error = %why, "the binding's server is suspected to be down");
        self.try_until_connected(self.patience.min(SUSPECT_PATIENCE));
    }

    /// Tries the server, the first time with this patience, again and again until it answers or nobody has the circuit any
    /// more.
    fn try_until_connected(self: &Arc<Self>, first: Duration) {
        let (circuit, patience, mut known) = (Arc::downgrade(self), self.patience, self.known.subscribe());
        let tries = async move {
            let mut tries = 0;
            let mut patience = Some(first).into_iter().chain(std::iter::repeat(patience));
            while let Some(wait) = Self::try_once(&circuit, tries, patience.next().unwrap_or(first)).await {
                tries += 1;
                tokio::time::sleep(wait).await;
            }
        };
        // In the middle of a question as well: it may hang for as long as a connection may take.
        let gone = async move { while known.changed().await.is_ok() {} };
        self.io.spawn(async move {
            tokio::select! {
                () = tries => {}
                () = gone => {}
            }
        });
    }

    /// Tries once; how long to wait before the next try, or `None` where there is none.
    async fn try_once(circuit: &Weak<Self>, tries: u32, patience: Duration) -> Option<Duration> {
        // Asked inside of what is guarded: a question that panics at once would end the tries, and leave calls waiting.
        let probe = circuit.upgrade().map(|circuit| Arc::clone(&circuit.probe))?;
        let probe = async move { probe().await };
        let outcome = match tokio::time::timeout(patience, AssertUnwindSafe(probe).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| chain(&*error)),
            Ok(Err(panic)) => Err(format!("asking it panicked: {}", panic_message(&*panic))),
            Err(_elapsed) => Err(format!("no answer within {} ms", patience.as_millis())),
        };
        let circuit = circuit.upgrade()?;
        let wait = match outcome {
            Ok(()) => {
                circuit.connected();
                None
            }
            Err(why) => Some(circuit.disconnected(why, tries)),
        };
        circuit.known.send_replace(true);
        wait
    }

    fn connected(&self) {
        let mut state = self.state.lock();
        state.failures = 0;
        state.suspected = false;
        if state.now.state == BackendState::Connected {
            return;
        }
        let now = BackendStatus {
            state: BackendState::Connected,
            since: SystemTime::now(),
            why: None,
            next_try: None,
            tries: 0,
        };
        state.now = now.clone();
        drop(state);
        tracing::info!(binding = &*self.name, "the binding's server is connected");
        self.observer.backend_changed(&self.name, &now);
    }

    /// Notes a try that failed; how long to wait before the next.
    fn disconnected(&self, why: String, tries: u32) -> Duration {
        let wait = self.settings.backoff.wait(tries, rand::random());
        let mut state = self.state.lock();
        let is_change = state.now.state != BackendState::Disconnected;
        let is_news = is_change || state.now.why.as_ref() != Some(&why);
        state.suspected = false;
        state.now = BackendStatus {
            state: BackendState::Disconnected,
            since: if is_change { SystemTime::now() } else { state.now.since },
            why: Some(why),
            next_try: SystemTime::now().checked_add(wait),
            tries: tries.saturating_add(1),
        };
        let now = state.now.clone();
        drop(state);
        if is_news {
            let error = now.why.as_deref();
            tracing::warn!(binding = &*self.name, error, "the binding's server cannot be reached");
        }
        if is_change {
            self.observer.backend_changed(&self.name, &now);
        }
        wait
    }
}

#[cfg(test)]
mod tests;
