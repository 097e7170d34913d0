//! The actor of one instance: owns its `WapcHost` and runs one guest call after the other.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, Recipient, WrapFuture,
};
use futures_util::FutureExt;

use super::{CallFailure, ExitReason, ExitReport, InstanceExited, Links, ModuleQueue, QueuedCall, RanOn};
use crate::host::{CallError, GuestExit, WapcHostAsync, panic_message};

/// Calls after which an instance with a full queue lets others of its worker run. A call costs from one microsecond
/// up; half of it would make the turn cost more than small calls, twice as much delays the neighbours visibly.
const CALLS_A_TURN: u32 = 16;

/// What an instance is made of.
pub struct InstanceParts {
    /// The started guest.
    pub host: WapcHostAsync,
    /// The guest's way to bindings; the host's callback is made from it.
    pub links: Arc<Links>,
    /// The module's queue.
    pub queue: Arc<ModuleQueue>,
    /// Who learns of the exit.
    pub supervisor: Recipient<InstanceExited>,
    /// Index of the module.
    pub module: usize,
    /// Index of the instance in the module.
    pub slot: usize,
    /// Id of the instance.
    pub instance: u64,
    /// Generation of the code.
    pub generation: u64,
    /// The worker it lives on.
    pub worker: usize,
}

/// One instance of a module.
pub struct GuestActor {
    /// The guest; absent while a call runs, which owns it.
    host: Option<Box<WapcHostAsync>>,
    seat: Arc<Seat>,
    /// Whether the supervisor has been told of the exit.
    reported: bool,
}

/// What the actor and its running call share.
struct Seat {
    links: Arc<Links>,
    queue: Arc<ModuleQueue>,
    supervisor: Recipient<InstanceExited>,
    module: usize,
    slot: usize,
    instance: u64,
    worker: usize,
    ran_on: RanOn,
    /// Set when the instance shall end as soon as nothing waits.
    leaving: AtomicBool,
    /// Set when it shall not take another call.
    last_call: AtomicBool,
}

/// Gives an idle instance a call. Sent by the module's queue only; the reply goes to the caller.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GuestCall(pub QueuedCall);

/// Asks an instance to end. Sent by the supervisor, which hears of the end through [`InstanceExited`]. An idle instance
/// ends at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Leave {
    /// When nothing waits any more: the module stops.
    WhenFree,
    /// After the running call: what waits is for the instance that follows.
    AfterCall,
    /// Now: a running call is dropped and its caller told so.
    Now,
}

/// How a run of calls ended.
enum RunEnd {
    /// Nothing waits; the host is there for the next call.
    Free(Box<WapcHostAsync>),
    /// The guest is gone.
    Exited(ExitReport),
}

impl GuestActor {
    /// Makes the actor of a started guest, ready for calls.
    #[must_use]
    pub fn new(parts: InstanceParts) -> Self {
        let InstanceParts { host, links, queue, supervisor, module, slot, instance, generation, worker } = parts;
        let ran_on = RanOn { instance, generation };
        let (leaving, last_call) = (AtomicBool::new(false), AtomicBool::new(false));
        let seat = Seat { links, queue, supervisor, module, slot, instance, worker, ran_on, leaving, last_call };
        Self { host: Some(Box::new(host)), seat: Arc::new(seat), reported: false }
    }

    /// Runs calls, beginning with `first`, until nothing waits or the guest is gone.
    fn run(&mut self, host: Box<WapcHostAsync>, first: QueuedCall, ctx: &mut Context<Self>) {
        let run = run_calls(host, first, Arc::clone(&self.seat), ctx.address());
        ctx.spawn(run.into_actor(self).map(|end, actor, ctx| match end {
            RunEnd::Free(host) => {
                actor.host = Some(host);
                if actor.seat.leaving.load(Relaxed) {
                    actor.leave(ctx);
                }
            }
            RunEnd::Exited(report) => actor.exit(report, ctx),
        }));
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        self.exit(ExitReport::new(ExitReason::Stopped, vec!["the instance was asked to end".to_owned()]), ctx);
    }

    fn exit(&mut self, report: ExitReport, ctx: &mut Context<Self>) {
        // The guest's memory is free before anyone hears of the exit and makes the next instance.
        self.host = None;
        self.report(report);
        ctx.stop();
    }

    fn report(&mut self, report: ExitReport) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let Seat { module, slot, instance, .. } = *self.seat;
        self.seat.queue.part(instance);
        // A notice without a bound: an exit must never be lost, and there is one per instance at most.
        self.seat.supervisor.do_send(InstanceExited { module, slot, instance, report, at: Instant::now() });
    }
}

impl Actor for GuestActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.seat.queue.join(self.seat.instance);
        // From here on the queue knows the instance: a call that waits is taken at once.
        let next = self.seat.next(&ctx.address());
        match (next, self.host.take()) {
            (Some(call), Some(host)) => self.run(host, call, ctx),
            (_, host) => self.host = host,
        }
    }
}

impl Drop for GuestActor {
    /// The last word of an instance that ended in no other way: its worker ends, or code of the actor panicked.
    fn drop(&mut self) {
        let what = if std::thread::panicking() { "code of the actor panicked" } else { "its worker ended" };
        self.host = None;
        self.report(ExitReport::new(ExitReason::Panicked, vec![what.to_owned()]));
    }
}

impl Handler<GuestCall> for GuestActor {
    type Result = ();

    fn handle(&mut self, GuestCall(call): GuestCall, ctx: &mut Self::Context) {
        match self.host.take() {
            Some(host) => self.run(host, call, ctx),
            None => self.seat.queue.put_back(call),
        }
    }
}

impl Handler<Leave> for GuestActor {
    type Result = ();

    fn handle(&mut self, how: Leave, ctx: &mut Self::Context) {
        self.seat.leaving.store(true, Relaxed);
        self.seat.last_call.store(matches!(how, Leave::AfterCall), Relaxed);
        // One that is idle has nothing to finish; one that is busy leaves when its run ends.
        if matches!(how, Leave::Now) || self.seat.queue.retire(self.seat.instance) {
            self.leave(ctx);
        }
    }
}

impl Seat {
    fn next(&self, addr: &Addr<GuestActor>) -> Option<QueuedCall> {
        if self.last_call.load(Relaxed) {
            return None;
        }
        self.queue.next(self.instance, self.worker, addr, self.leaving.load(Relaxed))
    }
}

async fn run_calls(mut host: Box<WapcHostAsync>, first: QueuedCall, seat: Arc<Seat>, addr: Addr<GuestActor>) -> RunEnd {
    let mut call = first;
    let mut turn = 0;
    loop {
        if let Some(report) = run_call(&mut host, call, &seat).await {
            drop(host);
            return RunEnd::Exited(report);
        }
        match seat.next(&addr) {
            Some(next) => call = next,
            None => return RunEnd::Free(host),
        }
        turn += 1;
        if turn % CALLS_A_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs one call and answers its caller; returns how the instance ended, if it did.
async fn run_call(host: &mut WapcHostAsync, call: QueuedCall, seat: &Seat) -> Option<ExitReport> {
    seat.links.begin(call.id, call.deadline, &call.chain);
    let counters = seat.queue.counters();
    let work = host.call_until(&call.operation, call.payload.clone(), call.accepted, call.deadline);
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(&*panic);
        tracing::error!(module = %seat.queue.name(), instance = seat.instance, call = call.id, panic = message, "host panicked in a guest call");
        Err(CallError::Exit(GuestExit::HostPanicked(message)))
    });
    let report = outcome.as_ref().err().and_then(ExitReport::of_call);
    let report = report
        .map(|report| ExitReport { call: Some((call.operation.clone(), call.id, call.origin.clone())), ..report });
    if outcome.is_ok() {
        counters.succeeded.store(true, Relaxed);
    }
    call.answer(Some(seat.ran_on), outcome.map_err(CallFailure::from));
    report
}
