//! A `http` trigger at work: its listeners, what holds for its requests, how it changes and ends.

use std::{
    future::pending,
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
    listener::Listening,
    tls::Identity,
};
use crate::{
    config::{HttpSettings, Listen, Listener, Trigger, TriggerSettings, Watch},
    triggers::{
        Caller, Detail, RunningTrigger, TriggerContext, TriggerError, TriggerFacts, running, sockets::Registered,
    },
};

/// A `http` trigger at work.
pub(super) struct Server {
    config: Mutex<Arc<Trigger>>,
    context: TriggerContext,
    serving: Arc<Serving>,
    listening: Arc<Mutex<Vec<Listening>>>,
    next_listener: AtomicU64,
}

/// A listener that is ready to take connections.
#[derive(Debug)]
pub(super) struct Ready {
    listen: Listen,
    /// None where the trigger has them already.
    sockets: Vec<Registered>,
    identity: Option<Arc<Identity>>,
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
    open: Vec<Listen>,
) -> Result<Groundwork, TriggerError> {
    // Files are read where that may block.
    let reading = tokio::task::spawn_blocking({
        let (config, context) = (Arc::clone(&config), context.clone());
        move || read(&config, &context)
    });
    let (current, identities) = reading.await.map_err(|_panicked| TriggerError::Lost("what reads its files"))??;
    let mut ready = Vec::new();
    for (Listener { listen, .. }, identity) in settings(&config)?.listeners.iter().zip(identities) {
        let sockets = if open.contains(listen) { Vec::new() } else { context.sockets.listen(listen)? };
        let failed = |source| TriggerError::Listen { at: listen.to_string(), source };
        let sockets = sockets.into_iter().map(Registered::new).collect::<Result<_, _>>().map_err(failed)?;
        ready.push(Ready { listen: listen.clone(), sockets, identity });
    }
    Ok(Groundwork { current: Arc::new(current), ready })
}

fn read(config: &Trigger, context: &TriggerContext) -> Result<(Current, Vec<Option<Arc<Identity>>>), TriggerError> {
    let settings = settings(config)?;
    let credentials = context.credentials.as_deref();
    let identity = |listener: &Listener| {
        let tls = listener.tls.as_ref();
        tls.map(|tls| Identity::read(tls, credentials).map(Arc::new)).transpose()
    };
    let identities = settings.listeners.iter().map(identity).collect::<Result<_, _>>()?;
    let site = Site::new(&config.name, settings, credentials)?;
    Ok((Current { site, limits: settings.limits.clone() }, identities))
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
        };
        let server = Self {
            config: Mutex::new(config),
            context,
            serving: Arc::new(serving),
            listening: Arc::default(),
            next_listener: AtomicU64::new(0),
        };
        server.take(groundwork)?;
        Ok(server)
    }

    /// Goes on with what was prepared.
    fn take(&self, groundwork: Groundwork) -> Result<(), TriggerError> {
        let io = self.context.io.handle().map_err(TriggerError::Thread)?;
        self.serving.current.store(groundwork.current);
        let mut listening = self.listening.lock();
        let mut before = std::mem::take(&mut *listening);
        for Ready { listen, sockets, identity } in groundwork.ready {
            if let Some(at) = before.iter().position(|listening| is_same(&listening.listen, &listen)) {
                let mut kept = before.swap_remove(at);
                kept.identity.store(identity);
                self.set_mode(&kept.listen, &listen);
                kept.listen = listen;
                listening.push(kept);
            } else {
                let id = self.next_listener.fetch_add(1, Relaxed);
                let place = (&self.serving, &self.context);
                listening.push(Listening::start((id, listen), sockets, identity, place, &io));
            }
        }
        drop(listening);
        for gone in before {
            let connections = Arc::clone(&self.serving.connections);
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

/// Whether two listeners are at the same place, whatever the mode of its file.
fn is_same(one: &Listen, other: &Listen) -> bool {
    match (one, other) {
        (Listen::Unix { path: one, .. }, Listen::Unix { path: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

impl RunningTrigger for Server {
    fn prepare(&self, config: Arc<Trigger>) -> BoxFuture<'static, Result<running::Groundwork, TriggerError>> {
        let open = self.listening.lock().iter().map(|listening| listening.listen.clone()).collect();
        let context = self.context.clone();
        Box::pin(async move { prepare(config, context, open).await.map(running::Groundwork::Http) })
    }

    fn adjust(&self, config: Arc<Trigger>, groundwork: running::Groundwork) {
        *self.config.lock() = config;
        let running::Groundwork::Http(groundwork) = groundwork else { return };
        if let Err(error) = self.take(groundwork) {
            let trigger = &*self.config.lock().name;
            tracing::error!(trigger, %error, "listeners could not be exchanged");
        }
    }

    fn watch(&self, _settings: Watch) {}

    fn facts(&self) -> TriggerFacts {
        let connections = &self.serving.connections;
        self.serving.caller.facts(Detail::Http {
            listeners: self.listening.lock().iter().flat_map(Listening::facts).collect(),
            connections: connections.count(),
            connections_refused: connections.refused(),
            responses: connections.responses(),
        })
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let listening = std::mem::take(&mut *self.listening.lock());
        let connections = Arc::clone(&self.serving.connections);
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
        let listening = std::mem::take(&mut *self.listening.lock());
        listening.into_iter().for_each(Listening::stop);
        self.serving.connections.tell(Order::Cut);
    }

    fn ended(&self) -> BoxFuture<'static, String> {
        Box::pin(pending())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
