//! The parts of a daemon around guests and bindings, put together on the calling thread without a supervisor.

#![allow(dead_code, reason = "every benchmark compiles this module for itself and none needs all of it")]
#![allow(unreachable_pub, reason = "every benchmark compiles this module for itself, as a crate without users")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, Recipient};
use bytes::Bytes;
use wapcd::{
    actors::{
        CallRequest, Gate, Guest, GuestActor, InstanceExited, InstanceParts, Links, ModuleQueue, Origin, QueueBudget,
        QueueSettings,
    },
    bindings::{
        BindingActor, BindingCall, BindingCounters, BindingExited, BindingFactory, Chain, Deaf, Turnstile, actor::Serve,
    },
    config::{Link, OnFull, Operations, Rules},
    host::{CompiledModule, HostOptions, Limits, WapcHostAsync, WasiParams},
};

use crate::harness::Failure;

/// How long a guest call may take: longer than the longest batch.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The queue of a module that takes calls.
pub fn queue(module: &str) -> Arc<ModuleQueue> {
    let settings = QueueSettings {
        calls: 16,
        bytes: 1 << 20,
        timeout: None,
        on_full: OnFull::Reject,
        rate: None,
        call_timeout: CALL_TIMEOUT,
        payload: 1 << 20,
    };
    let budget = Arc::new(QueueBudget::new(1 << 20));
    Arc::new(ModuleQueue::new(module.into(), settings, Gate::Open, budget, Arc::default(), || ()))
}

/// Starts the actor of a binding with operations of these names over its backend.
pub async fn binding(
    operations: &'static [&'static str],
    backend: Arc<dyn BindingFactory>,
    turnstile: Arc<Turnstile>,
) -> Result<Recipient<BindingCall>, Failure> {
    let counters = Arc::new(BindingCounters::new(operations));
    let exits: Recipient<BindingExited> = Nobody.start().recipient();
    let actor = BindingActor::new(0, "test".into(), 0, counters, exits, Arc::new(Deaf)).start();
    actor.send(Serve { backend, turnstile }).await?;
    Ok(actor.recipient())
}

/// A link to a binding under that name, with everything it has.
pub fn link(binding: &str, rules: Rules) -> Arc<Link> {
    Arc::new(Link {
        binding: binding.to_owned(),
        namespace: None,
        to: binding.into(),
        operations: Operations::All,
        required: false,
        rules,
    })
}

/// Starts an instance of the queue's module.
pub async fn instance(
    code: &CompiledModule,
    queue: &Arc<ModuleQueue>,
    links: impl IntoIterator<Item = (Arc<Link>, Recipient<BindingCall>)>,
) -> Result<(), Failure> {
    static INSTANCES: AtomicU64 = AtomicU64::new(1);
    let instance = INSTANCES.fetch_add(1, Relaxed);
    let links = Links::new(links, Arc::clone(queue.name()), instance, 1, Arc::new(Deaf));
    links.begin_start(Instant::now() + CALL_TIMEOUT);
    let limits = Limits { deadline: Some(CALL_TIMEOUT), ..Limits::default() };
    let provider = Box::new(code.provider(WasiParams::default()));
    let options = HostOptions { limits, ..HostOptions::default() };
    let host = WapcHostAsync::with_options(provider, Some(links.callback()), options).await?;
    let supervisor: Recipient<InstanceExited> = Nobody.start().recipient();
    let parts = InstanceParts {
        guest: Guest { host, links, generation: 1 },
        queue: Arc::clone(queue),
        supervisor,
        facts: Arc::default(),
        module: 0,
        slot: 0,
        instance,
        worker: 0,
    };
    GuestActor::new(parts).start();
    Ok(())
}

/// A guest call from outside.
pub fn request(operation: &str, payload: Bytes) -> CallRequest {
    CallRequest {
        operation: operation.to_owned(),
        payload,
        deadline: None,
        origin: Origin::Control,
        chain: Chain::default(),
    }
}

/// A supervisor for what never ends.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<InstanceExited> for Nobody {
    type Result = ();

    fn handle(&mut self, _: InstanceExited, _: &mut Self::Context) {}
}

impl Handler<BindingExited> for Nobody {
    type Result = ();

    fn handle(&mut self, _: BindingExited, _: &mut Self::Context) {}
}
