//! How triggers begin: each waits for those that it calls, is started, and started again when it has ended by itself. Whatever of
//! that takes time happens on the threads of connections. `trigger_ends.rs` has how they end, `trigger_changes.rs` what a reload
//! means for them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;

use super::{
    binding_child::BindingPhase,
    status::TriggerStatus,
    topology::Node,
    tree::Supervisor,
    trigger_child::{Ended, TriggerChild, TriggerPhase},
};
use crate::{
    actors::{ExitReason, ExitReport, causes_of},
    config::Trigger,
    triggers::{self, RunningTrigger, TriggerContext, TriggerEnd, TriggerError},
};

/// How long a trigger waits for the modules that it calls. Calls for those that come later wait in their queues.
pub(super) const MODULES_WAIT: Duration = Duration::from_secs(10);

/// How long what can fail of a trigger may take: files are read and sockets bound, which takes no second. A disk that hangs
/// is to hold up neither reloads nor what else starts.
const GROUNDWORK: Duration = Duration::from_secs(20);

/// A trigger was started, or was not.
#[derive(Message)]
#[rtype(result = "()")]
struct TriggerStarted {
    trigger: usize,
    era: u64,
    /// `None` where starting it panicked, whose message the log has.
    result: Option<Result<Arc<dyn RunningTrigger>, TriggerError>>,
    /// Whether whoever waits for it has it: one that was to end before it had started is ended by that.
    handed: bool,
}

/// A trigger ended by itself.
#[derive(Message)]
#[rtype(result = "()")]
struct TriggerEnded {
    trigger: usize,
    era: u64,
    end: TriggerEnd,
}

impl Supervisor {
    /// Adds a trigger that is not at work yet.
    pub(super) fn add_trigger(&mut self, config: &Trigger) -> usize {
        self.triggers.insert(Arc::clone(&config.name), TriggerChild::new(config.clone()))
    }

    /// Starts a trigger that is not at work, when those that it calls are there.
    pub(super) fn start_trigger(&mut self, trigger: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        if self.triggers_end
            || !matches!(child.phase, TriggerPhase::Resting | TriggerPhase::Stopped | TriggerPhase::Failed)
        {
            return;
        }
        child.enter(TriggerPhase::Waiting(Instant::now()));
        let era = child.era;
        match self.trigger_lacks(trigger) {
            None => self.open_trigger(trigger, ctx),
            Some(leaf) => {
                self.waiting_triggers.insert(trigger, leaf);
                self.later(MODULES_WAIT, ctx, move |supervisor, ctx| {
                    if supervisor.triggers.get(trigger).is_some_and(|child| child.era == era) {
                        supervisor.look_at_waiting(trigger, ctx);
                    }
                });
            }
        }
        self.touched(Node::Trigger(trigger), ctx);
    }

    /// Lets the triggers start whose turn has come with this leaf.
    pub(super) fn wake_triggers(&mut self, leaf: Node, ctx: &mut Context<Self>) {
        let waiting = self.waiting_triggers.iter().filter(|(_, last)| **last == leaf);
        for trigger in waiting.map(|(trigger, _)| *trigger).collect::<Vec<_>>() {
            self.look_at_waiting(trigger, ctx);
        }
    }

    pub(super) fn look_at_waiting(&mut self, trigger: usize, ctx: &mut Context<Self>) {
        if !self.waiting_triggers.contains_key(&trigger) {
            return;
        }
        match self.trigger_lacks(trigger) {
            None => self.open_trigger(trigger, ctx),
            Some(leaf) => {
                self.waiting_triggers.insert(trigger, leaf);
            }
        }
    }

    /// The first of those whom a trigger's start waits for that is not there: the binding that it stands on, for as long as
    /// that takes; modules that are on their way, and members before it, for a time.
    pub(super) fn trigger_lacks(&self, trigger: usize) -> Option<Node> {
        let child = self.triggers.get(trigger)?;
        let binding = child.config.settings.binding().and_then(|name| self.bindings.find(name));
        let serves = |at: usize| self.bindings.get(at).is_some_and(|child| child.phase == BindingPhase::Serving);
        if let Some(at) = binding.filter(|at| !serves(*at)) {
            return Some(Node::Binding(at));
        }
        if matches!(child.phase, TriggerPhase::Waiting(since) if since.elapsed() >= MODULES_WAIT) {
            return None;
        }
        let modules = child.config.settings.modules();
        let modules = modules.into_iter().filter_map(|name| self.modules.find(name)).map(Node::Module);
        let before: Vec<Node> = self.tree.before(Node::Trigger(trigger)).collect();
        modules.chain(self.tree.leaves_of(&before)).find(|leaf| self.is_coming(*leaf))
    }

    /// The daemon, as the triggers that start now see it.
    pub(super) fn trigger_context(&self, config: &Trigger) -> TriggerContext {
        let binding = config.settings.binding().and_then(|name| self.bindings.find(name));
        let factory = binding.and_then(|at| self.bindings.get(at)).and_then(|child| child.factory.as_ref());
        TriggerContext {
            modules: self.known.clone(),
            workers: self.workers.handles(),
            io: self.context.io.clone(),
            broker: factory.and_then(|factory| factory.broker()),
            state_dir: self.config.daemon.state_dir.clone(),
            credentials: self.context.credentials.clone(),
            watch: self.config.watch.clone(),
            sockets: Arc::clone(&self.sockets),
            observer: Arc::clone(&self.trigger_observer),
        }
    }

    fn open_trigger(&mut self, trigger: usize, ctx: &mut Context<Self>) {
        self.waiting_triggers.remove(&trigger);
        let Some(config) = self.triggers.get(trigger).map(|child| Arc::clone(&child.config)) else { return };
        let context = self.trigger_context(&config);
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        child.enter(TriggerPhase::Starting);
        let (era, supervisor, groundwork) = (child.era, ctx.address(), child.groundwork.take());
        let (hand, starts) = oneshot::channel();
        child.starting = Some(starts);
        let starting = self.on_io("starting it", async move {
            let groundwork = match groundwork {
                Some(groundwork) => groundwork,
                None => triggers::prepare(Arc::clone(&config), context.clone()).await?,
            };
            triggers::start(config, groundwork, context).await
        });
        actix::spawn(async move {
            let result = starting.await;
            let running = result.as_ref().and_then(|result| result.as_ref().ok());
            let handed = running.is_some_and(|running| hand.send(Arc::clone(running)).is_ok());
            // One notice for each start.
            supervisor.do_send(TriggerStarted { trigger, era, result, handed });
        });
        self.touched(Node::Trigger(trigger), ctx);
    }

    /// Does something on the threads of connections, for as long as groundwork may take; `None` where it panics.
    pub(super) fn on_io<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, TriggerError>> + Send + 'static,
    ) -> impl Future<Output = Option<Result<T, TriggerError>>> + 'static {
        let io = self.context.io.handle();
        async move {
            match io {
                Ok(io) => io.spawn(bounded(what, GROUNDWORK, work)).await.ok(),
                Err(error) => Some(Err(TriggerError::Thread(error))),
            }
        }
    }

    fn trigger_started(&mut self, started: TriggerStarted, ctx: &mut Context<Self>) {
        let TriggerStarted { trigger, era, result, handed } = started;
        let Some(child) = self.triggers.get_mut(trigger).filter(|child| child.era == era) else {
            // Nobody wants it any more.
            if let Some(Ok(running)) = result
                && !handed
            {
                running.stop();
            }
            return;
        };
        child.starting = None;
        let causes = match result {
            Some(Ok(running)) => {
                child.started(Arc::clone(&running));
                let (era, supervisor) = (child.era, ctx.address());
                actix::spawn(async move {
                    let end = running.ended().await;
                    // One notice for each trigger that runs.
                    supervisor.do_send(TriggerEnded { trigger, era, end });
                });
                return self.touched(Node::Trigger(trigger), ctx);
            }
            Some(Err(error)) => causes_of(&error),
            None => vec!["starting it panicked".to_owned()],
        };
        child.enter(TriggerPhase::Resting);
        let report = ExitReport::new(ExitReason::StartFailed, causes);
        self.child_ended(Node::Trigger(trigger), report, None, Instant::now(), ctx);
        self.touched(Node::Trigger(trigger), ctx);
    }

    fn trigger_ended(&mut self, ended: TriggerEnded, ctx: &mut Context<Self>) {
        let TriggerEnded { trigger, era, end } = ended;
        if self.triggers.get(trigger).is_none_or(|child| child.era != era || child.phase != TriggerPhase::Up) {
            return;
        }
        let (reason, why) = match end {
            TriggerEnd::Fault(why) => (ExitReason::Ended, why),
            TriggerEnd::WithBinding(why) => (ExitReason::BindingEnded, why),
        };
        let report = ExitReport::new(reason, vec![why]);
        self.child_ended(Node::Trigger(trigger), report, None, Instant::now(), ctx);
        self.touched(Node::Trigger(trigger), ctx);
    }

    /// Restarts a trigger after a wait.
    pub(super) fn restart_trigger(&mut self, trigger: usize, after: Duration, ctx: &mut Context<Self>) {
        let until = Instant::now() + after;
        match self.triggers.get(trigger).map(|child| child.phase) {
            Some(TriggerPhase::Up) => {
                self.drain_trigger(trigger, Ended::Restart, ctx);
                self.triggers.get_mut(trigger).into_iter().for_each(|child| child.next_try = Some(until));
            }
            _ => self.start_trigger_at(trigger, until, ctx),
        }
    }

    pub(super) fn start_trigger_at(&mut self, trigger: usize, until: Instant, ctx: &mut Context<Self>) {
        let Some(child) = self.triggers.get_mut(trigger) else { return };
        child.enter(TriggerPhase::Resting);
        let wait = until.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return self.start_trigger(trigger, ctx);
        }
        child.next_try = Some(until);
        let era = child.era;
        self.later(wait, ctx, move |supervisor, ctx| {
            if supervisor.triggers.get(trigger).is_some_and(|child| child.era == era) {
                supervisor.start_trigger(trigger, ctx);
            }
        });
    }

    /// Everything about the triggers, in file order.
    pub(super) fn trigger_status(&self, now: Instant) -> Vec<TriggerStatus> {
        let status = |at: usize| {
            let node = Node::Trigger(at);
            let mut status = self.triggers.get(at)?.status(now);
            status.group = self.group_name(node);
            status.restarts_in_window = self.in_window(node, now);
            status.waiting_for =
                self.waiting_triggers.get(&at).map(|leaf| self.subject(*leaf).to_string()).into_iter().collect();
            Some(status)
        };
        let names = self.config.triggers.iter().filter_map(|trigger| self.triggers.find(&trigger.name));
        names.filter_map(status).collect()
    }
}

/// Does something that takes no longer than it may.
async fn bounded<T>(
    what: &'static str,
    within: Duration,
    work: impl Future<Output = Result<T, TriggerError>>,
) -> Result<T, TriggerError> {
    tokio::time::timeout(within, work).await.unwrap_or(Err(TriggerError::Late { what, within }))
}

impl Handler<TriggerStarted> for Supervisor {
    type Result = ();

    fn handle(&mut self, started: TriggerStarted, ctx: &mut Context<Self>) {
        self.trigger_started(started, ctx);
    }
}

impl Handler<TriggerEnded> for Supervisor {
    type Result = ();

    fn handle(&mut self, ended: TriggerEnded, ctx: &mut Context<Self>) {
        self.trigger_ended(ended, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn what_never_ends_is_given_up_and_named() {
        let endless = std::future::pending::<Result<(), TriggerError>>();
        let given_up = bounded("reading its files", Duration::from_millis(1), endless).await;
        let said = given_up.map_err(|error| error.to_string());
        assert_eq!(said, Err("reading its files did not end within 1ms".to_owned()));
        assert!(matches!(bounded("it", GROUNDWORK, async { Ok(1) }).await, Ok(1)));
    }
}
