//! The instances' side of a module's queue: how they come, get calls and go, and what happens to calls on workers that
//! stall.

use std::{sync::Arc, time::Instant};

use actix::{Addr, dev::SendError};

use super::{
    Gate, GuestActor, GuestCall, ModuleQueue, QueuedCall,
    desk::Desk,
    inner::{Idle, Inner},
};

impl ModuleQueue {
    /// Ids of the live instances.
    #[must_use]
    pub(super) fn members(&self) -> Vec<u64> {
        self.inner.lock().members.iter().map(|desk| desk.instance).collect()
    }

    /// Adds a live instance.
    pub(super) fn join(&self, desk: &Arc<Desk>) {
        self.inner.lock().members.push(Arc::clone(desk));
    }

    /// Forgets an instance that is gone. A caller who still waits for it is told that its call was lost; should the
    /// instance come back from a worker that was given up, it gets nothing any more.
    pub fn part(&self, instance: u64) {
        let mut inner = self.inner.lock();
        inner.idle.retain(|idle| idle.desk.instance != instance);
        let at = inner.members.iter().position(|desk| desk.instance == instance);
        let desk = at.map(|at| inner.members.swap_remove(at));
        drop(inner);
        if let Some(pledge) = desk.and_then(|desk| desk.end()) {
            pledge.lose("the instance that had it was ended from outside".to_owned());
        }
    }

    /// Takes an idle instance out, so that no call reaches it any more; `false` where it is busy.
    pub(super) fn retire(&self, instance: u64) -> bool {
        let mut inner = self.inner.lock();
        let before = inner.idle.len();
        inner.idle.retain(|idle| idle.desk.instance != instance);
        inner.idle.len() < before
    }

    /// The next call for an instance that is free; without one, the instance counts as idle from now on, unless it is
    /// `leaving`.
    pub(super) fn next(&self, desk: &Arc<Desk>, addr: &Addr<GuestActor>, leaving: bool) -> Option<QueuedCall> {
        let mut inner = self.inner.lock();
        if desk.is_gone() {
            return None;
        }
        if let Some(mut call) = self.pop(&mut inner) {
            desk.take_on(&mut call);
            return Some(call);
        }
        if !leaving {
            inner.idle.push(Idle { desk: Arc::clone(desk), addr: addr.clone() });
            // A caller that waits for room may have the instance, also one whose payload would never fit the queue.
            self.tell_first();
        }
        None
    }

    /// The first call that waits and is still worth starting.
    fn pop(&self, inner: &mut Inner) -> Option<QueuedCall> {
        while let Some(call) = inner.waiting.pop_front() {
            self.leave_queue(inner, &call);
            if call.expires <= Instant::now() {
                let failure = self.expired(call.accepted);
                call.fail(failure);
            } else if !call.is_abandoned() {
                return Some(call);
            }
        }
        None
    }

    /// Hands the call to an instance that was idle. One that is gone by now never gets it: it goes to the queue's head.
    pub(super) fn send(&self, idle: &Idle, call: QueuedCall) {
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
        inner.waiting.push_front(call);
        let pairs = self.pair(&mut inner);
        drop(inner);
        self.send_all(pairs);
    }

    /// Brings calls that wait together with instances that are idle.
    fn pair(&self, inner: &mut Inner) -> Vec<(Idle, QueuedCall)> {
        let mut pairs = Vec::new();
        while !inner.waiting.is_empty()
            && let Some(idle) = inner.take_idle(None)
        {
            let Some(mut call) = self.pop(inner) else {
                inner.idle.push(idle);
                break;
            };
            idle.desk.take_on(&mut call);
            pairs.push((idle, call));
        }
        pairs
    }

    fn send_all(&self, pairs: Vec<(Idle, QueuedCall)>) {
        for (idle, call) in pairs {
            self.send(&idle, call);
        }
    }

    /// Notes that a worker does not turn over, or does so again. Idle instances on a worker that stalls get no calls;
    /// those of one that has recovered get what waits, at once.
    pub fn set_stalled(&self, worker: usize, stalled: bool) {
        let mut inner = self.inner.lock();
        if inner.stalled.contains(&worker) == stalled {
            return;
        }
        if stalled {
            inner.stalled.push(worker);
            return;
        }
        inner.stalled.retain(|other| *other != worker);
        let pairs = self.pair(&mut inner);
        drop(inner);
        self.send_all(pairs);
        // Also the first of those who wait for room may have an instance now.
        self.room.notify_one();
    }

    /// Answers what would otherwise wait past its time. To be called now and then.
    ///
    /// These are calls that an instance on a stalled worker has, once their deadline has passed, and calls that were put
    /// back into the queue, whose callers set no timer when an instance took them. A call to an instance needs no timer
    /// for that, which would cost more than the rest of its way.
    pub fn sweep(&self, now: Instant) {
        let mut inner = self.inner.lock();
        let stalled = |desk: &&Arc<Desk>| inner.stalled.contains(&desk.worker);
        let mut lost = Vec::new();
        if !inner.stalled.is_empty() {
            let overdue = |desk: &Arc<Desk>| Some((desk.worker, desk.overdue(now)?));
            lost.extend(inner.members.iter().filter(stalled).filter_map(overdue));
        }
        let mut expired = Vec::new();
        if inner.waiting.iter().any(|call| call.expires <= now) {
            let waiting = std::mem::take(&mut inner.waiting);
            let (over, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|call| call.expires <= now);
            inner.waiting = rest.into();
            for call in &over {
                self.leave_queue(&mut inner, call);
            }
            expired = over;
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
