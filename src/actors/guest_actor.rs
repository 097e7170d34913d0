//! The actor of one instance: has its guest on the desk between calls and tells the supervisor how the instance ended.
//!
//! `run.rs` has what it does while nothing lies there: a run of calls, one after the other. `at_once.rs` has the calls that
//! begin without it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};

use super::{
    CheckHealth, ExitReason, ExitReport, FinalCall, GoOn, Guest, GuestCall, How, InstanceExited, InstanceParts, Leave,
    SetLimits, TakeOver,
    own_call::run_final,
    run::{CALLS_A_TURN, RunEnd, Seat, Work, run},
};

/// One instance of a module.
pub struct GuestActor {
    seat: Arc<Seat>,
    /// Why it was asked to end.
    asked: Option<(ExitReason, String)>,
    /// What it is called with before it leaves in order.
    final_call: Option<FinalCall>,
    /// Whether the supervisor has been told of the exit.
    reported: bool,
}

impl GuestActor {
    /// Makes the actor of a started guest, ready for calls.
    #[must_use]
    pub fn new(parts: InstanceParts) -> Self {
        let (mut guest, seat) = Seat::of(parts);
        seat.facts.memory.store(guest.host.memory_bytes(), Relaxed);
        seat.facts.generation.store(guest.generation, Relaxed);
        let seat = Arc::new(seat);
        seat.desk.rest(Box::new(guest), &seat);
        Self { seat, asked: None, final_call: None, reported: false }
    }

    /// Takes what there is to do, if there is anything and nothing else is done.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        if let Some((guest, seat)) = self.seat.desk.guest() {
            match seat.next(&ctx.address()) {
                Some(work) => self.run(guest, work, ctx),
                None => seat.desk.rest(guest, &seat),
            }
        }
    }

    /// Does what was noted, if no call runs. Out of the idle, no call is on its way to the instance, and what comes
    /// meanwhile waits or goes elsewhere. One that is not idle has a call or gets one, and looks after it.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if self.seat.queue.retire(&self.seat.desk) {
            self.go_on(ctx);
        }
    }

    /// Works, beginning with `first`, until nothing waits or the guest is gone.
    fn run(&mut self, guest: Box<Guest>, first: Work, ctx: &mut Context<Self>) {
        let run = run(guest, first, Arc::clone(&self.seat), ctx.address(), CALLS_A_TURN);
        self.finish(run, ctx);
    }

    /// Sees a run to its end.
    fn finish(&mut self, run: impl Future<Output = RunEnd> + 'static, ctx: &mut Context<Self>) {
        ctx.spawn(run.into_actor(self).map(|end, actor, ctx| match end {
            RunEnd::Free(guest) => {
                actor.seat.desk.rest(guest, &actor.seat);
                if actor.seat.leaving.load(Relaxed) {
                    actor.leave_in_order(ctx);
                } else if actor.seat.desk.is_gone() {
                    // The supervisor gave it up with its worker, which has come back: nobody hears of it any more.
                    actor.exit(ExitReport::new(ExitReason::Stopped, vec!["it was given up before".to_owned()]), ctx);
                }
            }
            RunEnd::Exited(report) => actor.exit(report, ctx),
        }));
    }

    /// Leaves after the final call, if one is to be made. What asks it to leave at once meanwhile ends that too.
    fn leave_in_order(&mut self, ctx: &mut Context<Self>) {
        match (self.seat.desk.guest(), self.final_call.take()) {
            (Some((guest, _seat)), Some(call)) => {
                let end = run_final(guest, call).into_actor(self).map(|(), actor, ctx| actor.leave(ctx));
                ctx.spawn(end);
            }
            _ => self.leave(ctx),
        }
    }

    fn leave(&mut self, ctx: &mut Context<Self>) {
        let Leave { reason, why, .. } = How::Now.into();
        let (reason, why) = self.asked.take().unwrap_or((reason, why));
        self.exit(ExitReport::new(reason, vec![why]), ctx);
    }

    fn exit(&mut self, report: ExitReport, ctx: &mut Context<Self>) {
        // The guest's memory is free before anyone hears of the exit and makes the next instance.
        self.seat.desk.clear();
        self.report(report);
        ctx.stop();
    }

    fn report(&mut self, report: ExitReport) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        let Seat { module, slot, .. } = *self.seat;
        let instance = self.seat.desk.instance;
        // A caller that still waits is told so.
        self.seat.queue.part(instance);
        // A notice without a bound: an exit must never be lost, and there is one per instance at most.
        self.seat.supervisor.do_send(InstanceExited { module, slot, instance, report, at: Instant::now() });
    }
}

impl Actor for GuestActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.seat.queue.join(&self.seat.desk);
        // From here on the queue knows the instance: a call that waits is taken at once.
        self.go_on(ctx);
    }
}

impl Drop for GuestActor {
    /// The last word of an instance that ended in no other way: its worker ends, or code of the actor panicked.
    fn drop(&mut self) {
        let what = if std::thread::panicking() { "code of the actor panicked" } else { "its worker ended" };
        self.seat.desk.clear();
        self.report(ExitReport::new(ExitReason::Panicked, vec![what.to_owned()]));
    }
}

impl Handler<GuestCall> for GuestActor {
    type Result = ();

    fn handle(&mut self, GuestCall(call): GuestCall, ctx: &mut Self::Context) {
        match self.seat.desk.guest() {
            Some((guest, _seat)) => self.run(guest, Work::Call(call), ctx),
            None => self.seat.queue.put_back(call, &self.seat.desk),
        }
    }
}

impl Handler<GoOn> for GuestActor {
    type Result = ();

    fn handle(&mut self, GoOn: GoOn, ctx: &mut Self::Context) {
        if let Some(run) = self.seat.desk.begun() {
            self.finish(run, ctx);
        }
    }
}

impl Handler<CheckHealth> for GuestActor {
    type Result = ();

    fn handle(&mut self, check: CheckHealth, ctx: &mut Self::Context) {
        if self.seat.ask(check) {
            self.look(ctx);
        }
    }
}

impl Handler<TakeOver> for GuestActor {
    type Result = ();

    fn handle(&mut self, take_over: TakeOver, ctx: &mut Self::Context) {
        self.seat.offer(take_over);
        self.look(ctx);
    }
}

impl Handler<SetLimits> for GuestActor {
    type Result = ();

    fn handle(&mut self, SetLimits(limits): SetLimits, ctx: &mut Self::Context) {
        self.seat.limit(limits);
        self.look(ctx);
    }
}

impl Handler<Leave> for GuestActor {
    type Result = ();

    fn handle(&mut self, Leave { how, reason, why }: Leave, ctx: &mut Self::Context) {
        self.asked.get_or_insert((reason, why));
        self.seat.leaving.store(true, Relaxed);
        self.seat.last_call.store(how == How::AfterCall, Relaxed);
        // One that is idle has nothing to finish; one that is busy leaves when its run ends.
        if how == How::Now {
            self.leave(ctx);
        } else if self.seat.queue.retire(&self.seat.desk) {
            self.leave_in_order(ctx);
        }
    }
}

impl Handler<FinalCall> for GuestActor {
    type Result = ();

    fn handle(&mut self, call: FinalCall, _: &mut Context<Self>) {
        self.final_call = Some(call);
    }
}
