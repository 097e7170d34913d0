//! A guest's way to bindings: its links, resolved once, and one message for each host call.

use std::{sync::Arc, time::Instant};

use actix::Recipient;
use parking_lot::Mutex;

use crate::{
    bindings::{BindingCall, Caller, Chain, payload::cut},
    config::Link,
    host::{BoxError, HostCall, HostCallError, HostCallbackAsync, HostErrorKind},
};

/// The links of an instance with the binding actors of its worker.
pub struct Links {
    links: Vec<Route>,
    /// The guest call in which host calls are made at the moment.
    current: Mutex<Caller>,
}

struct Route {
    link: Arc<Link>,
    /// The binding's actor on this worker; `None` where its backend did not start.
    to: Option<Recipient<BindingCall>>,
}

impl Links {
    /// The links of one instance. `to` finds the actor of a binding on the instance's worker.
    #[must_use]
    pub fn new(
        links: &[Arc<Link>],
        to: impl Fn(&str) -> Option<Recipient<BindingCall>>,
        module: Arc<str>,
        instance: u64,
        generation: u64,
    ) -> Arc<Self> {
        let links = links.iter().map(|link| Route { link: Arc::clone(link), to: to(&link.to) }).collect();
        let (deadline, chain) = (Instant::now(), Chain::default());
        let caller = Caller { module, instance, generation, call: 0, deadline, chain };
        Arc::new(Self { links, current: Mutex::new(caller) })
    }

    /// Notes the guest call that begins.
    pub(super) fn begin(&self, call: u64, deadline: Instant, chain: &Chain) {
        let mut current = self.current.lock();
        current.call = call;
        current.deadline = deadline;
        current.chain = chain.clone();
    }

    /// Id of the guest call that runs or ran last; 0 in start functions.
    pub(super) fn current_call(&self) -> u64 {
        self.current.lock().call
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
            Ok((to, call)) => Box::pin(async move {
                let name = Arc::clone(&call.link.to);
                match to.send(call).await {
                    Ok(reply) => reply.map_err(BoxError::from),
                    Err(error) => Err(unavailable(&name, error.to_string()).into()),
                }
            }),
            Err(error) => Box::pin(std::future::ready(Err(error.into()))),
        })
    }

    /// Finds the link and the binding's own name for the operation.
    fn resolve(&self, call: HostCall) -> Result<(Recipient<BindingCall>, BindingCall), HostCallError> {
        let route = self.route(call.binding(), call.namespace())?;
        let Some(operation) = route.link.operations.resolve(call.operation()) else {
            return Err(HostCallError::new(
                HostErrorKind::NotAllowed,
                format!(
                    "the link to binding `{}` does not include operation `{}`",
                    cut(call.binding()),
                    cut(call.operation())
                ),
            ));
        };
        let to = route.to.clone().ok_or_else(|| unavailable(&route.link.to, "its backend did not start".to_owned()))?;
        let (namespace, operation) = (call.namespace().to_owned(), operation.to_owned());
        let (caller, link) = (self.current.lock().clone(), Arc::clone(&route.link));
        Ok((to, BindingCall { caller, namespace, operation, payload: call.payload, link }))
    }

    /// The link for a binding and namespace: one that names the namespace goes before one for any.
    fn route(&self, binding: &str, namespace: &str) -> Result<&Route, HostCallError> {
        let of_binding = || self.links.iter().filter(|route| route.link.binding == binding);
        let exact = of_binding().find(|route| route.link.namespace.as_deref() == Some(namespace));
        exact.or_else(|| of_binding().find(|route| route.link.namespace.is_none())).ok_or_else(|| {
            let text = format!("the module has no link to binding `{}`, namespace `{}`", cut(binding), cut(namespace));
            HostCallError::new(HostErrorKind::NotGranted, text)
        })
    }
}

fn unavailable(binding: &str, why: String) -> HostCallError {
    HostCallError::new(HostErrorKind::Unavailable, format!("binding `{binding}`: {why}"))
}
