//! Asks instances and backends whether they are well, and lets those exit that are not.

use std::time::{Duration, Instant};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    binding_child::BindingPhase,
    events::{Subject, What},
    module_child::Phase,
    slot::SlotState,
    topology::Node,
    tree::Supervisor,
};
use crate::{
    actors::{CheckHealth, ExitReason, ExitReport, HealthChecked, How, Leave},
    config::HealthCheck,
};

/// How a check of a backend ended. Sent by the task that waited for it.
#[derive(Message)]
#[rtype(result = "()")]
struct BindingChecked {
    binding: usize,
    era: u64,
    outcome: Result<(), String>,
}

impl Supervisor {
    /// Begins to check a child, if it wants that, from a moment of its own on, so that not all of them are asked at once.
    pub(super) fn check_health(&mut self, node: Node, ctx: &mut Context<Self>) {
        if let Some((check, settings)) = self.check_of(node) {
            self.check_later(node, (check, settings), rand::random(), ctx);
        }
    }

    /// When a child is asked, and which of its settings say so; `None`: not at all.
    fn check_of(&self, node: Node) -> Option<(HealthCheck, u64)> {
        match node {
            Node::Module(at) => {
                let child = self.modules.get(at)?;
                Some((child.config.health.as_ref()?.check, child.settings))
            }
            Node::Binding(at) => {
                let child = self.bindings.get(at)?;
                Some((child.config.health?, child.settings))
            }
            Node::Group(_) | Node::Trigger(_) => None,
        }
    }

    /// Checks a child after a part of its interval, and from then on after each whole one, for as long as it wants that so.
    fn check_later(&self, node: Node, (check, settings): (HealthCheck, u64), part: f64, ctx: &mut Context<Self>) {
        self.later(check.interval.mul_f64(part), ctx, move |supervisor, ctx| {
            // A child with other settings is checked by another of these.
            if supervisor.check_of(node) != Some((check, settings)) {
                return;
            }
            match node {
                Node::Module(at) => supervisor.check_module(at, ctx),
                Node::Binding(at) => supervisor.check_binding(at, check, ctx),
                Node::Group(_) | Node::Trigger(_) => {}
            }
            supervisor.check_later(node, (check, settings), 1.0, ctx);
        });
    }

    /// Asks every instance of a module that takes calls.
    fn check_module(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module).filter(|child| child.phase == Phase::Up) else { return };
        let Some(health) = &child.config.health else { return };
        for place in &child.slots {
            if let SlotState::Live(live) = &place.state {
                let (operation, reply) = (health.operation.clone(), ctx.address().recipient());
                // One that is lost, or comes while another is outstanding, is followed by the next.
                live.addr.do_send(CheckHealth { operation, timeout: health.check.timeout, reply });
            }
        }
    }

    fn module_checked(&mut self, checked: HealthChecked) {
        let HealthChecked { module, slot, instance, outcome } = checked;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(check) = child.config.health.as_ref().map(|health| health.check) else { return };
        let name = child.config.name.clone();
        let Some(place) = child.slots.get_mut(slot).filter(|place| place.state.is(instance)) else { return };
        let Err(why) = outcome else {
            place.sick = 0;
            return;
        };
        place.sick += 1;
        let (failures, of) = (place.sick, check.failures);
        if let (true, SlotState::Live(live)) = (failures >= of, &place.state) {
            let why = format!("{failures} health checks in a row failed, the last with: {}", text(&why));
            // Its exit tells the rest. One notice for each instance.
            live.addr.do_send(Leave { how: How::AfterCall, reason: ExitReason::Unhealthy, why });
            place.state = SlotState::Leaving(live.clone());
        }
        self.events.record(Subject::Module(name), What::HealthFailed { instance: Some(instance), failures, of, why });
    }

    fn check_binding(&mut self, binding: usize, check: HealthCheck, ctx: &mut Context<Self>) {
        let Some(child) = self.bindings.get_mut(binding) else { return };
        if child.phase != BindingPhase::Serving || child.checking {
            return;
        }
        let Some(asked) = child.factory.as_ref().and_then(|factory| factory.check()) else { return };
        child.checking = true;
        let (era, supervisor) = (child.era, ctx.address());
        actix::spawn(async move {
            let outcome = within(check.timeout, asked).await;
            // One notice for each check.
            supervisor.do_send(BindingChecked { binding, era, outcome });
        });
    }

    fn binding_checked(&mut self, checked: BindingChecked, ctx: &mut Context<Self>) {
        let BindingChecked { binding, era, outcome } = checked;
        let Some(child) = self.bindings.get_mut(binding).filter(|child| child.era == era) else { return };
        let Some(check) = child.config.health else { return };
        child.checking = false;
        let Err(why) = outcome else {
            child.sick = 0;
            return;
        };
        child.sick += 1;
        let (failures, of) = (child.sick, check.failures);
        let subject = Subject::Binding(child.name().clone());
        self.events.record(subject, What::HealthFailed { instance: None, failures, of, why: why.clone() });
        if failures >= of {
            let causes = vec![format!("{failures} health checks in a row failed"), why];
            let report = ExitReport::new(ExitReason::Unhealthy, causes);
            self.child_ended(Node::Binding(binding), report, None, Instant::now(), ctx);
            self.touched(Node::Binding(binding), ctx);
        }
    }
}

/// What a check said, which may be nothing.
fn text(why: &str) -> &str {
    if why.is_empty() { "(no text)" } else { why }
}

/// The outcome of a check that may take so long.
async fn within(limit: Duration, check: crate::bindings::Check) -> Result<(), String> {
    match tokio::time::timeout(limit, check).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}

impl Handler<HealthChecked> for Supervisor {
    type Result = ();

    fn handle(&mut self, checked: HealthChecked, _: &mut Context<Self>) {
        self.module_checked(checked);
    }
}

impl Handler<BindingChecked> for Supervisor {
    type Result = ();

    fn handle(&mut self, checked: BindingChecked, ctx: &mut Context<Self>) {
        self.binding_checked(checked, ctx);
    }
}
