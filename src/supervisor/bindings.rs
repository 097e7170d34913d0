//! What happens to a binding: open, serve, restart, close, fail. Opening and closing a backend may block, so both happen
//! on threads of their own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context, Handler, Message};
use tokio::sync::OwnedMutexGuard;

use super::{
    binding_child::{BindingPhase, Closed, panic_report},
    exits::Place,
    module_child::Then,
    observer::BackendChanged,
    status::BindingStatus,
    topology::Node,
    tree::Supervisor,
};
use crate::{
    actors::{ExitReason, ExitReport, causes_of},
    bindings::{BindingError, BindingExited, BindingFactory, start_backend},
};

/// A backend was opened, or was not. Sent by the thread that opened it.
#[derive(Message)]
#[rtype(result = "()")]
struct BindingOpened {
    binding: usize,
    era: u64,
    /// `None` where opening it panicked, whose message the log has.
    result: Option<Result<Arc<dyn BindingFactory>, BindingError>>,
    /// Keeps another from being opened until what nobody wants any more is closed.
    held: Option<OwnedMutexGuard<()>>,
}

/// A backend was closed, or its time for that is over.
#[derive(Message)]
#[rtype(result = "()")]
struct BindingClosed {
    binding: usize,
    era: u64,
}

/// A backend ended by itself.
#[derive(Message)]
#[rtype(result = "()")]
struct BackendEnded {
    binding: usize,
    era: u64,
    why: String,
}

impl Supervisor {
    /// Opens the backend of a binding that has none, off this thread.
    pub(super) fn open_binding(&mut self, binding: usize, ctx: &mut Context<Self>) {
        let context = self.context.clone();
        let Some(child) = self.bindings.get_mut(binding) else { return };
        if !matches!(child.phase, BindingPhase::Waiting | BindingPhase::Stopped | BindingPhase::Failed) {
            return;
        }
        child.enter(BindingPhase::Opening);
        child.hold();
        let (config, era, supervisor) = (Arc::clone(&child.config), child.era, ctx.address());
        let closing = Arc::clone(&child.closing);
        actix::spawn(async move {
            // What is still being closed, maybe past its time, holds what would be opened.
            let closed = closing.lock_owned().await;
            let opening = tokio::task::spawn_blocking(move || (start_backend(&config, &context), closed));
            let (result, held) = opening.await.ok().unzip();
            // One notice for each opening.
            supervisor.do_send(BindingOpened { binding, era, result, held });
        });
        self.touched(Node::Binding(binding), ctx);
    }

    fn binding_opened(&mut self, opened: BindingOpened, ctx: &mut Context<Self>) {
        let BindingOpened { binding, era, result, held } = opened;
        let Some(child) = self.bindings.get_mut(binding).filter(|child| child.era == era) else {
            // Nobody wants it any more, or the binding is gone. Closing it may block.
            if let Some(Ok(factory)) = result {
                tokio::task::spawn_blocking(move || {
                    factory.stop();
                    drop((factory, held));
                });
            }
            return;
        };
        let causes = match result {
            Some(Ok(factory)) => {
                child.enter(BindingPhase::Serving);
                child.opened(factory);
                let serving = child.era;
                if let Some(ended) = child.factory.as_ref().and_then(|factory| factory.ended()) {
                    let supervisor = ctx.address();
                    actix::spawn(async move {
                        let why = ended.await;
                        // One notice for each backend.
                        supervisor.do_send(BackendEnded { binding, era: serving, why });
                    });
                }
                return self.touched(Node::Binding(binding), ctx);
            }
            Some(Err(error)) => causes_of(&error),
            None => vec!["opening its backend panicked".to_owned()],
        };
        child.enter(BindingPhase::Waiting);
        let report = ExitReport::new(ExitReason::StartFailed, causes);
        self.child_ended(Node::Binding(binding), report, None, Instant::now(), ctx);
        self.touched(Node::Binding(binding), ctx);
    }

    /// Hears that a backend is no more: it is closed and opened anew, as after any other exit.
    fn backend_ended(&mut self, ended: BackendEnded, ctx: &mut Context<Self>) {
        let BackendEnded { binding, era, why } = ended;
        if self.bindings.get(binding).is_none_or(|child| child.era != era || child.phase != BindingPhase::Serving) {
            return;
        }
        let report = ExitReport::new(ExitReason::BackendEnded, vec![why]);
        self.child_ended(Node::Binding(binding), report, None, Instant::now(), ctx);
        self.touched(Node::Binding(binding), ctx);
    }

    /// Hears that a binding's actor panicked, or is gone with its worker.
    fn binding_exited(&mut self, exit: BindingExited, ctx: &mut Context<Self>) {
        let (binding, worker) = (exit.binding, exit.worker);
        let supervisor = ctx.address().recipient();
        let Some(child) = self.bindings.get_mut(binding) else { return };
        if exit.gone {
            // The actor itself is gone. One that was replaced with its worker is no news.
            if child.is_connected(worker) || !self.workers.handle(worker).is_some_and(|handle| handle.spawn_fn(|| {})) {
                return;
            }
            child.renew(binding, worker, &self.workers, &supervisor);
        }
        if child.phase != BindingPhase::Serving {
            return;
        }
        let (report, place) = (panic_report(&exit), Place { instance: None, slot: None, worker });
        self.child_ended(Node::Binding(binding), report, Some(place), exit.at, ctx);
        self.touched(Node::Binding(binding), ctx);
    }

    /// Restarts a binding: where one actor panicked that one's part of it, else the backend.
    pub(super) fn restart_binding(
        &mut self,
        binding: usize,
        reason: ExitReason,
        place: Option<Place>,
        after: Duration,
        ctx: &mut Context<Self>,
    ) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        let until = Instant::now() + after;
        match (child.phase, place) {
            (BindingPhase::Serving, Some(place)) if reason == ExitReason::Panicked => {
                if after.is_zero() {
                    return child.serve(Some(place.worker));
                }
                child.backoff.insert(place.worker, until);
                let era = child.era;
                self.later(after, ctx, move |supervisor, ctx| {
                    let Some(child) = supervisor.bindings.get_mut(binding).filter(|child| child.era == era) else {
                        return;
                    };
                    if child.backoff.get(&place.worker) == Some(&until) {
                        child.serve(Some(place.worker));
                        supervisor.touched(Node::Binding(binding), ctx);
                    }
                });
            }
            (BindingPhase::Serving, _) => {
                self.close_binding(binding, Closed::Reopen, ctx);
                if let Some(child) = self.bindings.get_mut(binding) {
                    child.next_try = Some(until);
                }
            }
            _ => self.reopen_at(binding, until, ctx),
        }
    }

    /// Opens the backend again when its wait is over.
    fn reopen_at(&mut self, binding: usize, until: Instant, ctx: &mut Context<Self>) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        child.enter(BindingPhase::Waiting);
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return self.open_binding(binding, ctx);
        }
        child.next_try = Some(until);
        let era = child.era;
        self.later(wait, ctx, move |supervisor, ctx| {
            if supervisor.bindings.get(binding).is_some_and(|child| child.era == era) {
                supervisor.open_binding(binding, ctx);
            }
        });
    }

    /// Closes the backend, off this thread and within its `shutdown`; calls wait, or are refused if nothing follows.
    pub(super) fn close_binding(&mut self, binding: usize, closed: Closed, ctx: &mut Context<Self>) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        child.enter(BindingPhase::Closing(closed));
        child.hold();
        let (era, supervisor, backend) = (child.era, ctx.address(), child.take_backend());
        actix::spawn(async move {
            if let Some(backend) = backend {
                backend.close().await;
            }
            // One notice for each closing.
            supervisor.do_send(BindingClosed { binding, era });
        });
        self.touched(Node::Binding(binding), ctx);
    }

    fn binding_closed(&mut self, closed: BindingClosed, ctx: &mut Context<Self>) {
        let BindingClosed { binding, era } = closed;
        let Some(child) = self.bindings.get_mut(binding).filter(|child| child.era == era) else { return };
        let BindingPhase::Closing(next) = child.phase else { return };
        let until = child.next_try;
        match next {
            Closed::Reopen => self.reopen_at(binding, until.unwrap_or_else(Instant::now), ctx),
            Closed::Then(Then::Hold) if !child.removed => child.enter(BindingPhase::Waiting),
            Closed::Then(_) => {
                child.enter(BindingPhase::Stopped);
                child.refuse();
            }
        }
        self.touched(Node::Binding(binding), ctx);
    }

    /// Gives a binding up: its guests are told `unavailable`, and why.
    pub(super) fn fail_binding(&mut self, binding: usize, report: ExitReport) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        child.enter(BindingPhase::Failed);
        child.last_exit = Some(report);
        child.refuse();
        if let Some(backend) = child.take_backend() {
            actix::spawn(backend.close());
        }
    }

    /// Everything about the bindings.
    pub(super) fn binding_status(&self, now: Instant) -> Vec<BindingStatus> {
        let status = |(at, child): (usize, &super::binding_child::BindingChild)| {
            let node = Node::Binding(at);
            let mut status = child.status(now);
            status.group = self.group_name(node);
            status.restarts_in_window = self.in_window(node, now);
            status
        };
        let names = self.config.bindings.iter().map(|binding| &binding.name);
        let named = |name: &Arc<str>| self.bindings.find(name).and_then(|at| Some((at, self.bindings.get(at)?)));
        names.filter_map(named).map(status).collect()
    }
}

impl Handler<BindingOpened> for Supervisor {
    type Result = ();

    fn handle(&mut self, opened: BindingOpened, ctx: &mut Context<Self>) {
        self.binding_opened(opened, ctx);
    }
}

impl Handler<BindingClosed> for Supervisor {
    type Result = ();

    fn handle(&mut self, closed: BindingClosed, ctx: &mut Context<Self>) {
        self.binding_closed(closed, ctx);
    }
}

impl Handler<BackendChanged> for Supervisor {
    type Result = ();

    /// Modules may wait for it.
    fn handle(&mut self, BackendChanged(name): BackendChanged, ctx: &mut Context<Self>) {
        if let Some(at) = self.bindings.find(&name) {
            self.wake_waiting(Node::Binding(at), ctx);
        }
    }
}

impl Handler<BackendEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: BackendEnded, ctx: &mut Context<Self>) {
        self.backend_ended(ended, ctx);
    }
}

impl Handler<BindingExited> for Supervisor {
    type Result = ();

    fn handle(&mut self, exit: BindingExited, ctx: &mut Context<Self>) {
        self.binding_exited(exit, ctx);
    }
}
