//! A guest's way to bindings: its links, resolved once, and the actor on its worker that each host call is for.

use std::{sync::Arc, time::Instant};

use actix::Recipient;
use parking_lot::Mutex;

use super::crossings::watched;
use crate::{
    bindings::{
        BindingCall, Caller, Chain, Denial, Observer, Trace,
        actor::here::{Neighbour, Place},
        payload::cut,
    },
    config::Link,
    host::{BoxError, HostCall, HostCallError, HostCallbackAsync, HostErrorKind, LineLimit},
};

/// The links of an instance with the binding actors of its worker.
pub struct Links {
    /// How many lines the instance may log, by its console and by bindings together.
    lines: LineLimit,
    /// Hears of what is not allowed.
    observer: Arc<dyn Observer>,
    /// One lock for both: a host call needs both, and takes it once.
    now: Mutex<Now>,
}

/// What host calls find.
struct Now {
    /// The guest call in which they are made.
    caller: Caller,
    routes: Vec<Route>,
}

struct Route {
    link: Arc<Link>,
    /// The binding's actor on this worker.
    to: Recipient<BindingCall>,
    place: Place,
}

/// How a host call comes to its binding's actor.
enum Way {
    /// Without a message: the usual one.
    Direct(Neighbour),
    Mailbox(Recipient<BindingCall>),
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}

impl Links {
    /// The links of one instance, each with the actor of its binding on the instance's worker.
    #[must_use]
    pub fn new(
        links: impl IntoIterator<Item = (Arc<Link>, Recipient<BindingCall>)>,
        module: Arc<str>,
        instance: u64,
        generation: u64,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        let routes = routes_of(links);
        let (deadline, chain) = (Instant::now(), Chain::default());
        let lines = LineLimit::default();
        let caller = Caller { module, instance, generation, call: 0, deadline, chain, lines: lines.clone() };
        Arc::new(Self { lines, observer, now: Mutex::new(Now { caller, routes }) })
    }

    /// Replaces the links, from any thread, whatever the instance does: from its next host call on only these hold. A
    /// host call that is under way ends as it began.
    pub fn set(&self, links: impl IntoIterator<Item = (Arc<Link>, Recipient<BindingCall>)>) {
        let routes = routes_of(links);
        let before = std::mem::replace(&mut self.now.lock().routes, routes);
        // What is freed with them is freed without the lock.
        drop(before);
    }

    /// Notes the guest call that begins.
    pub(super) fn begin(&self, call: u64, deadline: Instant, chain: &Chain) {
        let caller = &mut self.now.lock().caller;
        caller.call = call;
        caller.deadline = deadline;
        caller.chain = chain.clone();
    }

    /// Id of the guest call that runs or ran last, with the trace that it belongs to; 0 in start functions.
    pub(super) fn current_call(&self) -> (u64, Option<Trace>) {
        let now = self.now.lock();
        (now.caller.call, now.caller.chain.trace().copied())
    }

    /// The budget of lines that the instance's console shares with the bindings that log for it.
    pub(super) fn lines(&self) -> LineLimit {
        self.lines.clone()
    }

    /// Notes until when start functions may run.
    pub fn begin_start(&self, deadline: Instant) {
        self.begin(0, deadline, &Chain::default());
    }

    /// The callback for the instance's host.
    #[must_use]
    pub fn callback(self: &Arc<Self>) -> Box<HostCallbackAsync> {
        let links = Arc::clone(self);
        Box::new(move |_host, call| match links.resolve(call) {
            Ok((Way::Direct(actor), call)) => {
                let name = Arc::clone(&call.link.to);
                let reply = watched(actor.ask(call));
                Box::pin(async move { reply.await.map_err(|gone| lost(&name, gone))?.map_err(BoxError::from) })
            }
            Ok((Way::Mailbox(to), call)) => Box::pin(async move {
                let name = Arc::clone(&call.link.to);
                watched(to.send(call)).await.map_err(|gone| lost(&name, gone))?.map_err(BoxError::from)
            }),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        })
    }

    /// Finds the link and the binding's own name for the operation.
    fn resolve(&self, call: HostCall) -> Result<(Way, BindingCall), HostCallError> {
        let namespace = call.namespace().to_owned();
        let now = self.now.lock();
        let (route, operation) = now.allowed(&call, &namespace).inspect_err(|error| {
            let Caller { module, instance, call: id, .. } = &now.caller;
            let (binding, operation) = (&*cut(call.binding()), &*cut(call.operation()));
            self.observer.denied(Denial { module, instance: *instance, call: *id, binding, operation, error });
        })?;
        let way = Neighbour::at(route.place).map_or_else(|| Way::Mailbox(route.to.clone()), Way::Direct);
        let (link, caller) = (Arc::clone(&route.link), now.caller.clone());
        drop(now);
        Ok((way, BindingCall { caller, namespace, operation, payload: call.payload, link }))
    }
}

/// The actor is gone, which lives as long as its worker.
fn lost(name: &str, gone: impl Into<BoxError>) -> HostCallError {
    let text = format!("binding `{name}`: its worker ended");
    HostCallError::with_source(HostErrorKind::Unavailable, text, gone)
}

fn routes_of(links: impl IntoIterator<Item = (Arc<Link>, Recipient<BindingCall>)>) -> Vec<Route> {
    links.into_iter().map(|(link, to)| Route { link, place: Place::of(&to), to }).collect()
}

impl Now {
    /// The link for a host call, and the binding's own name for the operation.
    fn allowed(&self, call: &HostCall, namespace: &str) -> Result<(&Route, String), HostCallError> {
        let route = self.route(call.binding(), namespace)?;
        match route.link.operations.resolve(call.operation()) {
            Some(operation) => Ok((route, operation.to_owned())),
            None => {
                let (binding, operation) = (cut(call.binding()), cut(call.operation()));
                let text = format!("the link to binding `{binding}` does not include operation `{operation}`");
                Err(HostCallError::new(HostErrorKind::NotAllowed, text))
            }
        }
    }

    /// The link for a binding and namespace: one that names the namespace goes before one for any.
    fn route(&self, binding: &str, namespace: &str) -> Result<&Route, HostCallError> {
        let of_binding = || self.routes.iter().filter(|route| route.link.binding == binding);
        let exact = of_binding().find(|route| route.link.namespace.as_deref() == Some(namespace));
        exact.or_else(|| of_binding().find(|route| route.link.namespace.is_none())).ok_or_else(|| {
            let text = format!("the module has no link to binding `{}`, namespace `{}`", cut(binding), cut(namespace));
            HostCallError::new(HostErrorKind::NotGranted, text)
        })
    }
}
