//! A queue with real instances: calls, their answers and their numbers, whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod at_once;
mod counting;
mod fairness;
mod health;
mod here;
mod links;
mod placement;
mod places;
mod reload;
mod stalled;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Recipient};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    bindings::Chain,
    config::OnFull,
    host::{EngineSettings, HostOptions, Limits, WapcHostAsync, WasiParams, WasmtimeEngine},
};

/// Does what the first letter of the operation says, then answers with the payload.
const MENU: &str = r#"(module
    (import "wapc" "__guest_request" (func $request (param i32 i32)))
    (import "wapc" "__guest_response" (func $response (param i32 i32)))
    (import "wapc" "__guest_error" (func $error (param i32 i32)))
    (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $is (param $letter i32) (result i32) (i32.eq (i32.load8_u (i32.const 0)) (local.get $letter)))
    (func (export "__guest_call") (param $op i32) (param $len i32) (result i32)
        (call $request (i32.const 0) (i32.const 1024))
        (if (call $is (i32.const 0x74)) (then unreachable)) ;; trap
        (if (call $is (i32.const 0x73)) (then (loop $spin (br $spin)))) ;; spin
        (if (call $is (i32.const 0x67)) (then (drop (memory.grow (i32.const 1))))) ;; grow
        (if (call $is (i32.const 0x68)) ;; hold, until the test lets go
            (then (drop (call $host_call
                (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
                (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))))
        (if (call $is (i32.const 0x66)) ;; fail
            (then (call $error (i32.const 0) (local.get $op)) (return (i32.const 0))))
        (call $response (i32.const 1024) (local.get $len))
        (i32.const 1)))"#;

/// Long enough for a loaded machine, short enough to wait for.
const SOON: Duration = Duration::from_secs(20);

/// A time that no test waits for: what only ends with it has failed by then.
const NEVER: Duration = Duration::from_secs(3600);

static NEXT_INSTANCE: AtomicU64 = AtomicU64::new(1);

/// Passes on what an instance says to its supervisor.
struct Ear {
    exits: mpsc::Sender<InstanceExited>,
    checks: mpsc::Sender<HealthChecked>,
}

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<InstanceExited> for Ear {
    type Result = ();

    fn handle(&mut self, exit: InstanceExited, _: &mut Context<Self>) {
        self.exits.try_send(exit).unwrap();
    }
}

impl Handler<HealthChecked> for Ear {
    type Result = ();

    fn handle(&mut self, checked: HealthChecked, _: &mut Context<Self>) {
        self.checks.try_send(checked).unwrap();
    }
}

/// One module with its queue, and everything its instances say.
struct Fixture {
    queue: Arc<ModuleQueue>,
    engine: WasmtimeEngine,
    ear: Addr<Ear>,
    exits: mpsc::Receiver<InstanceExited>,
    checks: mpsc::Receiver<HealthChecked>,
    /// What calls of `hold` wait for.
    gate: Arc<Semaphore>,
    /// Of all instances, as the supervisor keeps them: an actor whose last address is dropped ends, also when that happens
    /// with a message on its way.
    addrs: Mutex<Vec<Addr<GuestActor>>>,
}

struct Instance {
    id: u64,
    addr: Addr<GuestActor>,
    facts: Arc<InstanceFacts>,
}

fn settings() -> QueueSettings {
    QueueSettings {
        calls: 4,
        bytes: 1 << 20,
        timeout: None,
        on_full: OnFull::Reject,
        rate: None,
        call_timeout: NEVER,
        payload: 1024,
    }
}

fn queue(settings: QueueSettings, budget: &Arc<QueueBudget>) -> Arc<ModuleQueue> {
    queue_beside(settings, budget, &Arc::default())
}

/// The queue of a module whose workers have other modules too.
fn queue_beside(settings: QueueSettings, budget: &Arc<QueueBudget>, loads: &Arc<Loads>) -> Arc<ModuleQueue> {
    let (budget, loads) = (Arc::clone(budget), Arc::clone(loads));
    Arc::new(ModuleQueue::new("menu".into(), settings, Gate::Open, budget, loads, || ()))
}

impl Fixture {
    fn new(settings: QueueSettings) -> Self {
        let (exits_in, exits) = mpsc::channel(64);
        let (checks_in, checks) = mpsc::channel(64);
        let engine = EngineSettings { instances: 4, ..EngineSettings::default() };
        Self {
            queue: queue(settings, &Arc::new(QueueBudget::new(1 << 20))),
            engine: WasmtimeEngine::new(engine).unwrap(),
            ear: Ear { exits: exits_in, checks: checks_in }.start(),
            exits,
            checks,
            gate: Arc::new(Semaphore::new(0)),
            addrs: Mutex::default(),
        }
    }

    /// Starts an instance on an arbiter under the number of a worker.
    async fn start(&self, arbiter: &ArbiterHandle, worker: usize) -> Instance {
        let (queue, gate) = (Arc::clone(&self.queue), Arc::clone(&self.gate));
        let module = self.engine.compile(&wat::parse_str(MENU).unwrap()).unwrap();
        let supervisor: Recipient<InstanceExited> = self.ear.clone().recipient();
        let (started, instance) = oneshot::channel();
        let id = NEXT_INSTANCE.fetch_add(1, SeqCst);
        arbiter.spawn(async move {
            let links = Links::new([], "menu".into(), id, 1, std::sync::Arc::new(crate::bindings::Deaf));
            let limits = Limits { deadline: Some(NEVER), ..Limits::default() };
            let options = HostOptions { limits, ..HostOptions::default() };
            let provider = Box::new(module.provider(WasiParams::default()));
            let hold = move |_id, _call| {
                let gate = Arc::clone(&gate);
                Box::pin(async move {
                    gate.acquire().await.unwrap().forget();
                    Ok(Bytes::new())
                }) as crate::host::HostCallFuture
            };
            let host = WapcHostAsync::with_options(provider, Some(Box::new(hold)), options).await.unwrap();
            let facts = Arc::new(InstanceFacts::default());
            let (kept, slot, instance) = (Arc::clone(&facts), worker, id);
            let parts = InstanceParts {
                guest: Guest { host, links, generation: 1 },
                queue,
                supervisor,
                facts,
                module: 0,
                slot,
                instance,
                worker,
            };
            let addr = GuestActor::new(parts).start();
            drop(started.send(Instance { id, addr, facts: kept }));
        });
        let instance: Instance = instance.await.unwrap();
        self.addrs.lock().push(instance.addr.clone());
        self.until(|numbers| numbers.idle > 0 || numbers.calls == 0).await;
        instance
    }

    /// Starts an instance on the test's own thread, as worker 0.
    async fn here(&self) -> Instance {
        self.start(&actix::Arbiter::current(), 0).await
    }

    /// Makes a call in a task of its own.
    fn call(&self, operation: &str) -> JoinHandle<CallReply> {
        call(&self.queue, operation, "payload")
    }

    async fn outcome(&self, operation: &str) -> Result<Bytes, CallFailure> {
        reply(self.call(operation)).await
    }

    /// Waits until the queue looks so.
    async fn until(&self, looks: impl Fn(QueueNumbers) -> bool) {
        let end = Instant::now() + SOON;
        while !looks(self.queue.numbers()) {
            assert!(Instant::now() < end, "{:?}", self.queue);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn until_in_flight(&self, calls: u64) {
        let end = Instant::now() + SOON;
        while self.queue.counters().in_flight.load(SeqCst) != calls {
            assert!(Instant::now() < end, "{:?}", self.queue.counters());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many calls ended so.
    fn counted(&self, outcome: Outcome) -> u64 {
        let counts = self.queue.counters().read();
        counts.by_outcome.iter().find(|(name, _)| *name == outcome.as_str()).map(|(_, count)| *count).unwrap()
    }

    /// How many calls ended at all.
    fn all(&self) -> u64 {
        self.queue.counters().read().by_outcome.iter().map(|(_, count)| count).sum()
    }

    async fn exit(&mut self) -> InstanceExited {
        timeout(SOON, self.exits.recv()).await.unwrap().unwrap()
    }
}

fn request(operation: &str, payload: &str, deadline: Option<Instant>) -> CallRequest {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    CallRequest { operation: operation.to_owned(), payload, deadline, origin: Origin::Control, chain: Chain::default() }
}

fn call(queue: &Arc<ModuleQueue>, operation: &str, payload: &str) -> JoinHandle<CallReply> {
    let (queue, request) = (Arc::clone(queue), request(operation, payload, None));
    tokio::task::spawn_local(async move { queue.call(request, None).await })
}

async fn reply(call: JoinHandle<CallReply>) -> Result<Bytes, CallFailure> {
    timeout(SOON, call).await.unwrap().unwrap().outcome
}
