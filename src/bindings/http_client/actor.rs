//! Maps host calls to requests, which are made on the threads for connections, and their outcomes to replies.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::runtime::Handle;

use super::{OPERATIONS, operations::Exchange, reply, request, rules};
use crate::{
    bindings::{Answer, Binding, BindingCall, BindingFactory, Io, io},
    config::Rules,
    host::{HostCallError, HostErrorKind},
};

/// Makes the `http_client` binding of each worker over the shared connections.
pub(super) struct HttpFactory(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    exchange: Arc<Exchange>,
    io: Handle,
    /// The threads are there as long as somebody has this.
    _threads: Io,
    stopped: AtomicBool,
}

impl HttpFactory {
    pub(super) fn new(name: Arc<str>, exchange: Exchange, io: Handle, threads: Io) -> Self {
        let (exchange, stopped) = (Arc::new(exchange), AtomicBool::new(false));
        Self(Arc::new(Shared { name, exchange, io, _threads: threads, stopped }))
    }
}

impl BindingFactory for HttpFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(HttpClient(Arc::clone(&self.0)))
    }

    fn stop(&self) {
        self.0.stopped.store(true, Relaxed);
        self.0.exchange.clients.forget();
    }
}

struct HttpClient(Arc<Shared>);

impl Binding for HttpClient {
    fn call(&self, call: BindingCall) -> Answer {
        self.start(call).unwrap_or_else(Answer::from)
    }
}

impl HttpClient {
    /// Starts the request of a call that is in order.
    fn start(&self, call: BindingCall) -> Result<Answer, HostCallError> {
        let Shared { name, exchange, io, stopped, .. } = &*self.0;
        if stopped.load(Relaxed) {
            return Err(HostCallError::new(HostErrorKind::Unavailable, format!("binding `{name}` was stopped")));
        }
        if call.operation != "request" {
            return Err(call.no_such_operation(name, &OPERATIONS));
        }
        let Rules::Http(rules) = &call.link.rules else {
            let why = format!("the link to binding `{name}` says nothing about hosts");
            return Err(HostCallError::new(HostErrorKind::NotAllowed, why));
        };
        let (request, format) = request::parse(&call.payload)?;
        // What the link refuses needs no other thread.
        rules::check(&request.hop.url, &request.hop.method, rules)?;
        let (exchange, rules, name) = (Arc::clone(exchange), rules.clone(), Arc::clone(name));
        let module = Arc::clone(&call.caller.module);
        let running = io::run(io, async move { reply::write(format, &exchange.run(request, &rules, &module).await?) });
        Ok(Answer::Later(Box::pin(async move {
            running.await.unwrap_or_else(|error| {
                // The threads end with the daemon; anything else is a panic.
                let kind = if error.is_cancelled() { HostErrorKind::Unavailable } else { HostErrorKind::Internal };
                Err(HostCallError::with_source(kind, format!("the request of binding `{name}` was broken off"), error))
            })
        })))
    }
}
