//! The instances' side of a module's queue: how they come, get calls and go, and what happens to calls on workers that
//! stall.

use std::{sync::Arc, time::Instant};

use actix::{Addr, dev::SendError};

use super::{
    Gate, GuestActor, GuestCall, ModuleQueue, QueuedCall,
    crossings::handed_to,
    desk::Desk,
    inner::{Idle, Inner},
    places::Home,
};

impl ModuleQueue {
    /// Ids of the live instances.
    #[must_use]
    pub(super) fn members(&self) -> Vec<u64> {
        self.inner.lock().members.iter().map(|desk| desk.instance).collect()
    }

    /// Adds a live instance.
    pub(super) fn join(&self, desk: &Arc<Desk>) {
        let mut inner = self.inner.lock();
        inner.members.push(Arc::clone(desk));
        inner.places.join(desk.worker);
    }

    /// Forgets an instance that is gone. A caller who still waits for it is told that its call was lost; should the
    /// instance come back from a worker that was given up, it gets nothing any more.
    pub fn part(&self, instance: u64) {
        let mut inner = self.inner.lock();
        let Some(at) = inner.members.iter().position(|desk| desk.instance == instance) else { return };
        let desk = inner.members.swap_remove(at);
        inner.places.retire(desk.worker, instance);
        inner.places.part(desk.worker);
        // What waited for it at home is for everyone now.
        let pairs = self.pair(&mut inner, Instant::now());
        drop(inner);
        if let Some(pledge) = desk.end() {
            pledge.lose("the instance that had it was ended from outside".to_owned());
        }
        self.send_all(pairs);
    }

    /// Takes an idle instance out, so that no call reaches it any more; `false` where it is busy.
    pub(super) fn retire(&self, desk: &Desk) -> bool {
        self.inner.lock().places.retire(desk.worker, desk.instance)
    }

    /// The next call for an instance that is free; without one, the instance counts as idle from now on, unless it is
    /// `leaving`.
    pub(super) fn next(&self, desk: &Arc<Desk>, addr: &Addr<GuestActor>, leaving: bool) -> Option<QueuedCall> {
        let mut inner = self.inner.lock();
        if desk.is_gone() {
            return None;
        }
        // Most find nothing, and need not know how late it is.
        if inner.places.calls() > 0 {
            let now = Instant::now();
            while let Some(home) = inner.places.next_for(desk.worker, leaving, now) {
                if let Some(mut call) = self.take(&mut inner, home, now) {
                    desk.take_on(&mut call, now);
                    return Some(call);
                }
            }
        }
        if !leaving {
            inner.places.rest(Idle { desk: Arc::clone(desk), addr: addr.clone() });
            // A caller that waits for room may have the instance, also one whose payload would never fit the queue.
            self.tell_first();
        }
        None
    }

    /// Takes the first call of a lane; `None` where it is not worth starting any more.
    fn take(&self, inner: &mut Inner, home: Home, now: Instant) -> Option<QueuedCall> {
        let call = inner.places.pop(home)?;
        self.leave_queue(inner, &call);
        if call.expires <= now {
            let failure = self.expired(call.accepted);
            call.fail(failure);
            return None;
        }
        Some(call).filter(|call| !call.is_abandoned())
    }

    /// Hands the call to an instance that was idle. One that is gone by now never gets it: it goes to the queue's head.
    pub(super) fn send(&self, idle: &Idle, call: QueuedCall) {
        handed_to(idle.desk.worker);
        if let Err(SendError::Full(GuestCall(call)) | SendError::Closed(GuestCall(call))) =
            idle.addr.try_send(GuestCall(call))
        {
            self.put_back(call, &idle.desk);
        }
    }

    /// Puts a call that was not started at the head of the queue, past all bounds: it was accepted before.
    pub(super) fn put_back(&self, mut call: QueuedCall, desk: &Desk) {
        // Without the duty to answer it the call is over: its caller has been told that it was lost.
        let Some(mut pledge) = desk.release(call.id) else { return };
        let mut inner = self.inner.lock();
        pledge.taken_back();
        call.pledge = Some(pledge);
        if let Gate::Refusing(refusal) = &inner.gate
            && (!inner.closing || inner.members.is_empty())
        {
            let failure = self.refused(refusal.clone());
            drop(inner);
            return call.fail(failure);
        }
        let size = call.payload.len() as u64;
        // Accepted before, so it fits or the daemon is a little over its budget for a moment.
        self.budget.force(size);
        inner.bytes += size;
        inner.places.wait_first(call);
        let pairs = self.pair(&mut inner, Instant::now());
        drop(inner);
        self.send_all(pairs);
    }

    /// Brings calls that wait together with instances that are idle.
    fn pair(&self, inner: &mut Inner, now: Instant) -> Vec<(Idle, QueuedCall)> {
        let mut pairs = Vec::new();
        while let Some((home, idle)) = inner.places.meet(now) {
            match self.take(inner, home, now) {
                Some(mut call) => {
                    idle.desk.take_on(&mut call, now);
                    pairs.push((idle, call));
                }
                None => inner.places.rest(idle),
            }
        }
        pairs
    }

    /// Gives calls that have waited at home for long enough to idle instances elsewhere.
    pub(super) fn spread(&self) {
        let mut inner = self.inner.lock();
        let pairs = self.pair(&mut inner, Instant::now());
        drop(inner);
        self.send_all(pairs);
    }

    fn send_all(&self, pairs: Vec<(Idle, QueuedCall)>) {
        for (idle, call) in pairs {
            self.send(&idle, call);
        }
    }

    /// Notes that a worker does not turn over, or does so again. Idle instances on a worker that stalls get no calls, and
    /// what waits for them goes elsewhere; those of one that has recovered get what waits, at once.
    pub fn set_stalled(&self, worker: usize, stalled: bool) {
        let mut inner = self.inner.lock();
        if !inner.places.set_stalled(worker, stalled) {
            return;
        }
        let pairs = self.pair(&mut inner, Instant::now());
        drop(inner);
        self.send_all(pairs);
        if !stalled {
            // Also the first of those who wait for room may have an instance now.
            self.room.notify_one();
        }
    }

    /// Answers what would otherwise wait past its time. To be called now and then.
    ///
    /// These are calls that an instance on a stalled worker has, once their deadline has passed, and calls that were put
    /// back into the queue, whose callers set no timer when an instance took them. A call to an instance needs no timer
    /// for that, which would cost more than the rest of its way.
    pub fn sweep(&self, now: Instant) {
        let mut inner = self.inner.lock();
        let overdue = |desk: &Arc<Desk>| {
            let stalled = inner.places.is_stalled(desk.worker);
            if stalled { Some((desk.worker, desk.overdue(now)?)) } else { None }
        };
        let lost: Vec<_> = inner.members.iter().filter_map(overdue).collect();
        let expired = inner.places.take_all(|call| call.expires <= now);
        for call in &expired {
            self.leave_queue(&mut inner, call);
        }
        drop(inner);
        for (worker, pledge) in lost {
            pledge.lose(format!("worker {worker}, which has it, does not turn over"));
        }
        for call in expired {
            let failure = self.expired(call.accepted);
            call.fail(failure);
        }
    }
}
