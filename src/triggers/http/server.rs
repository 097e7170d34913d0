//! A `http` trigger at work: its listeners, what holds for its requests, how it changes and ends.

use std::{
    future::pending,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;

use super::{
    Groundwork,
    answer::Site,
    connection::{Current, Serving},
    connections::{Connections, Order},
    handover::Usher,
    listener::Listening,
    secrets::{self, Secrets},
    tls::Identity,
};
use crate::{
    config::{HttpSettings, Listen, Listener, Trigger, TriggerSettings, Watch},
    files::watch::Target,
    host::chain,
    triggers::{
        Caller, Detail, RunningTrigger, TriggerContext, TriggerEnd, TriggerError, TriggerFacts, running,
        sockets::Registered,
    },
};

/// A `http` trigger at work.
pub(super) struct Server {
    context: TriggerContext,
    state: Arc<State>,
    secrets: Secrets,
    next_listener: AtomicU64,
}

/// What changes while it is at work.
#[derive(Debug)]
pub(super) struct State {
    /// Locked whenever something is exchanged that was made of it.
    pub(super) config: Mutex<Arc<Trigger>>,
    pub(super) serving: Arc<Serving>,
    pub(super) listening: Mutex<Vec<Listening>>,
}

/// A listener that is ready to take connections.
#[derive(Debug)]
pub(super) struct Ready {
    listen: Listen,
    /// None where the trigger has them already.
    sockets: Vec<Registered>,
    identity: Option<Arc<Identity>>,
}

impl Ready {
    /// Whether it needs nothing of a trigger that is at work.
    pub(super) fn has_sockets(&self) -> bool {
        !self.sockets.is_empty()
    }
}

/// The settings of a `http` trigger.
pub(super) fn settings(config: &Trigger) -> Result<&HttpSettings, TriggerError> {
    match &config.settings {
        TriggerSettings::Http(settings) => Ok(settings),
        other => {
            Err(TriggerError::Settings(format!("settings of type `{}` for one of type `http`", other.type_name())))
        }
    }
}

/// Does what could fail, for a trigger that listens at `open` already.
pub(super) async fn prepare(
    config: Arc<Trigger>,
    context: TriggerContext,
    mut open: Vec<Listen>,
) -> Result<Groundwork, TriggerError> {
    // Files are read where that may block.
    let reading = tokio::task::spawn_blocking({
        let (config, context) = (Arc::clone(&config), context.clone());
        move || read(&config, &context)
    });
    let read = reading.await.map_err(|_panicked| TriggerError::Lost("what reads its files"))??;
    let Read { current, identities, mut targets } = read;
    targets.extend(identities.iter().flatten().flat_map(|identity| identity.targets()));
    let mut ready = Vec::new();
    for (Listener { listen, .. }, identity) in settings(&config)?.listeners.iter().zip(identities) {
        // Each that is open once only: several may let the system choose their port.
        let sockets = match open.iter().position(|open| open == listen) {
            Some(at) => {
                open.swap_remove(at);
                Vec::new()
            }
            None => context.sockets.listen(listen)?,
        };
        let failed = |source| TriggerError::Listen { at: listen.to_string(), source };
        let sockets = sockets.into_iter().map(Registered::new).collect::<Result<_, _>>().map_err(failed)?;
        ready.push(Ready { listen: listen.clone(), sockets, identity });
    }
    Ok(Groundwork { current: Arc::new(current), targets, ready })
}

/// A site with the state of its files, taken before it was made.
pub(super) fn site(config: &Trigger, credentials: Option<&Path>) -> Result<(Site, Vec<Target>), TriggerError> {
    let settings = settings(config)?;
    let site = Site::new(&config.name, settings, credentials)?;
    let targets: Vec<_> = site.secret_files().into_iter().map(secrets::target).collect();
    // Only now it is known which files those are.
    let site = if targets.is_empty() { site } else { Site::new(&config.name, settings, credentials)? };
    Ok((site, targets))
}

/// What was read for a trigger.
struct Read {
    current: Current,
    /// Of each listener.
    identities: Vec<Option<Arc<Identity>>>,
    /// Files of the site.
    targets: Vec<Target>,
}

fn read(config: &Trigger, context: &TriggerContext) -> Result<Read, TriggerError> {
    let settings = settings(config)?;
    let credentials = context.credentials.as_deref();
    let identity = |listener: &Listener| {
        let tls = listener.tls.as_ref();
        tls.map(|tls| Identity::read(tls, credentials).map(Arc::new)).transpose()
    };
    let identities = settings.listeners.iter().map(identity).collect::<Result<_, _>>()?;
    let (site, targets) = site(config, credentials)?;
    Ok(Read { current: Current { site, limits: settings.limits.clone() }, identities, targets })
}

impl Server {
    /// Takes connections from now on.
    ///
    /// # Errors
    /// The threads of connections could not be started.
    pub(super) fn start(
        config: Arc<Trigger>,
        groundwork: Groundwork,
        context: TriggerContext,
    ) -> Result<Self, TriggerError> {
        let serving = Serving {
            current: ArcSwap::new(Arc::clone(&groundwork.current)),
            caller: Caller::new(&config.name, context.modules.clone()),
            connections: Arc::new(Connections::default()),
            workers: context.workers.count() as u64,
        };
        let state =
            State { config: Mutex::new(Arc::clone(&config)), serving: Arc::new(serving), listening: Mutex::default() };
        let state = Arc::new(state);
        let secrets = Secrets::new(&state, &context)?;
        let server = Self { context, state, secrets, next_listener: AtomicU64::new(0) };
        server.take(config, groundwork)?;
        Ok(server)
    }

    /// Goes on with what was prepared.
    fn take(&self, config: Arc<Trigger>, groundwork: Groundwork) -> Result<(), TriggerError> {
        let io = self.context.io.handle().map_err(TriggerError::Thread)?;
        self.secrets.watch(groundwork.targets, &self.context.watch)?;
        let mut held = self.state.config.lock();
        *held = config;
        self.state.serving.current.store(groundwork.current);
        let mut listening = self.state.listening.lock();
        let mut before = std::mem::take(&mut *listening);
        let usher = Arc::new(Usher::new(&self.context, &io));
        for Ready { listen, sockets, identity } in groundwork.ready {
            if let Some(at) = before.iter().position(|listening| is_same(&listening.listen, &listen)) {
                let mut kept = before.swap_remove(at);
                kept.identity.store(identity);
                self.set_mode(&kept.listen, &listen);
                kept.listen = listen;
                listening.push(kept);
            } else {
                let id = self.next_listener.fetch_add(1, Relaxed);
                listening.push(Listening::start((id, listen), sockets, identity, (&self.state.serving, &usher), &io));
            }
        }
        drop((listening, held));
        for gone in before {
            let connections = Arc::clone(&self.state.serving.connections);
            io.spawn(async move {
                let id = gone.id;
                gone.finish().await;
                connections.tell_those_of(id, Order::Drain);
            });
        }
        Ok(())
    }

    /// Gives the file of a Unix socket the permission bits that it has now.
    fn set_mode(&self, before: &Listen, now: &Listen) {
        let Listen::Unix { path, mode } = now else { return };
        if before != now
            && let Err(error) = self.context.sockets.set_mode(path, *mode)
        {
            tracing::warn!(socket = %path.display(), %error, "cannot set the mode of a socket");
        }
    }
}

impl State {
    /// The certificates of its listeners.
    pub(super) fn identities(&self) -> Vec<Arc<Identity>> {
        self.listening.lock().iter().filter_map(|listening| listening.identity.load_full()).collect()
    }
}

/// Whether two listeners are at the same place, whatever the mode of its file.
fn is_same(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix { path: one, .. }, Listen::Unix { path: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

impl RunningTrigger for Server {
    fn prepare(&self, config: Arc<Trigger>) -> BoxFuture<'static, Result<running::Groundwork, TriggerError>> {
        let open = self.state.listening.lock().iter().map(|listening| listening.listen.clone()).collect();
        let context = self.context.clone();
        Box::pin(async move { prepare(config, context, open).await.map(running::Groundwork::Http) })
    }

    fn adjust(&self, config: Arc<Trigger>, groundwork: running::Groundwork) {
        let running::Groundwork::Http(groundwork) = groundwork else { return };
        let name = Arc::clone(&config.name);
        if let Err(error) = self.take(config, groundwork) {
            tracing::error!(trigger = &*name, error = chain(&error), "settings could not be exchanged");
        }
    }

    fn watch(&self, settings: Watch) {
        self.secrets.configure(settings);
    }

    fn facts(&self) -> TriggerFacts {
        let connections = &self.state.serving.connections;
        self.state.serving.caller.facts(Detail::Http {
            listeners: self.state.listening.lock().iter().flat_map(Listening::facts).collect(),
            connections: connections.count(),
            connections_refused: connections.refused(),
            responses: connections.responses(),
        })
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let listening = std::mem::take(&mut *self.state.listening.lock());
        let connections = Arc::clone(&self.state.serving.connections);
        let Ok(io) = self.context.io.handle() else {
            connections.tell(Order::Drain);
            return Box::pin(async move { connections.empty().await });
        };
        let draining = io.spawn(async move {
            // Those that are taken last are told as they come.
            connections.tell(Order::Drain);
            join_all(listening.into_iter().map(Listening::finish)).await;
            connections.empty().await;
        });
        Box::pin(async move { draining.await.unwrap_or_default() })
    }

    fn stop(&self) {
        let listening = std::mem::take(&mut *self.state.listening.lock());
        listening.into_iter().for_each(Listening::stop);
        self.secrets.stop();
        self.state.serving.connections.tell(Order::Cut);
    }

    fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
        Box::pin(pending())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
