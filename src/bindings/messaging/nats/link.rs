//! The way to the server: the connection of the moment, and the circuit that makes the next.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch};

use super::connection::{Connection, Way};
use crate::{
    bindings::{
        BackendStatus, BindingContext, Check, Io,
        circuit::{Circuit, Failure, Probe},
        io,
        messaging::broker::Trouble,
    },
    config::Server,
    host::{BoxError, HostCallError, HostErrorKind, chain},
};

/// The connection of the moment.
#[derive(Clone)]
pub(super) enum State {
    /// There is none.
    Down,
    /// This one.
    Up(Arc<Connection>),
    /// There will be none any more.
    Stopped,
}

/// The way to the server of one binding.
pub(super) struct Link {
    way: Arc<Way>,
    state: watch::Sender<State>,
    circuit: OnceLock<Circuit>,
    pub(super) io: Handle,
    /// Keeps the threads of connections, which `io` alone does not.
    _threads: Io,
}

impl Link {
    /// Begins to connect.
    pub(super) fn start(way: Way, server: &Server, io: Handle, context: &BindingContext) -> Arc<Self> {
        let name = Arc::clone(&way.binding);
        // Each of the servers may be waited for.
        let tries = u32::try_from(way.servers.len()).unwrap_or(1).max(1);
        let patience = server.connect_timeout.saturating_mul(tries).saturating_add(Duration::from_millis(100));
        let (state, _) = watch::channel(State::Down);
        let link = Arc::new(Self {
            way: Arc::new(way),
            state,
            circuit: OnceLock::new(),
            io: io.clone(),
            _threads: context.io.clone(),
        });
        let probed = Arc::downgrade(&link);
        let probe: Probe = Arc::new(move || Box::pin(Self::probe(probed.clone())));
        let observer = Arc::clone(&context.observer);
        link.circuit.get_or_init(|| Circuit::new(name, server.circuit.clone(), patience, observer, io, probe));
        link
    }

    /// Asks the server by way of the connection, and makes a new one where that brings no answer. Whoever still uses the old
    /// one keeps it until its end: a guest whose calls fail takes nothing from others.
    async fn probe(link: Weak<Self>) -> Result<(), BoxError> {
        let found = link.upgrade().map(|link| (Arc::clone(&link.way), link.state.borrow().clone()));
        let Some((way, state)) = found else { return Err("the binding has stopped".into()) };
        if let State::Up(connection) = state
            && connection.is_alive()
            && connection.echo().await.unwrap_or(false)
        {
            return Ok(());
        }
        let told = link.clone();
        let lost = move |id| {
            if let Some(link) = told.upgrade() {
                link.lost(id);
            }
        };
        let connection = Arc::new(way.connect(lost).await?);
        let Some(link) = link.upgrade() else { return Err("the binding has stopped".into()) };
        let taken = link.state.send_if_modified(|state| {
            let stopped = matches!(state, State::Stopped);
            if !stopped {
                *state = State::Up(connection);
            }
            !stopped
        });
        if taken { Ok(()) } else { Err("the binding has stopped".into()) }
    }

    /// Hears that a connection is lost: the next is tried at once.
    pub(super) fn lost(&self, id: u64) {
        let is_news = self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up(connection) if connection.id == id);
            if is_it {
                *state = State::Down;
            }
            is_it
        });
        if is_news || matches!(&*self.state.borrow(), State::Down) {
            self.open_circuit();
        }
    }

    fn open_circuit(&self) {
        if let Some(circuit) = self.circuit.get() {
            circuit.lost(&"the connection was lost");
        }
    }

    /// The connection, if there is one.
    pub(super) fn connection(&self) -> Result<Arc<Connection>, Failure> {
        let state = self.state.borrow().clone();
        match state {
            State::Up(connection) if connection.is_alive() => Ok(connection),
            State::Up(connection) => {
                self.lost(connection.id);
                Err(Failure::Server("the connection was lost".into()))
            }
            State::Down => {
                self.open_circuit();
                Err(Failure::Server("the connection was lost".into()))
            }
            State::Stopped => Err(Failure::Server("the binding has stopped".into())),
        }
    }

    pub(super) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Does a call's work where the server is connected.
    ///
    /// # Errors
    /// As [`Circuit::run`].
    pub(super) async fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, HostCallError> {
        match self.circuit.get() {
            Some(circuit) => circuit.run(work).await,
            // It is there before anybody has the link.
            None => Err(HostCallError::new(HostErrorKind::Unavailable, "the binding is still being started")),
        }
    }

    pub(super) fn status(&self) -> Option<BackendStatus> {
        self.circuit.get().map(Circuit::status)
    }

    /// Why nothing goes out and comes in at the moment.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        match &*self.state.borrow() {
            State::Up(_) => return None,
            State::Stopped => return Some(Trouble::Stopped),
            State::Down => {}
        }
        let why = self.status().and_then(|status| status.why);
        Some(Trouble::Down(why.unwrap_or_else(|| "it has not been reached yet".to_owned())))
    }

    /// Asks a server by a connection of its own, since nothing else may be allowed to the daemon there.
    pub(super) fn check(&self) -> Check {
        let way = Arc::clone(&self.way);
        let asked = io::run(&self.io, async move { way.connect(|_id| {}).await.map(drop) });
        Box::pin(async move {
            match asked.await {
                Ok(outcome) => outcome.map_err(|error| chain(&*error)),
                Err(panic) => Err(panic.to_string()),
            }
        })
    }

    pub(super) fn stop(&self) {
        self.state.send_replace(State::Stopped);
    }
}
