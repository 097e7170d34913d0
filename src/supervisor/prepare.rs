//! What can fail of a reload is done before anything changes: room is found for new modules, their code is loaded, sockets are
//! bound and files read.

use std::{collections::HashMap, sync::Arc};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    engines::{Room, instances_of},
    loader::{Loaded, Outcome, Source},
    planner::Draft,
    status::RefusedFile,
    tree::Supervisor,
    trigger_changes::TriggerPrepared,
};
use crate::{
    actors::causes_of,
    config::{self, Change, ChangeAction, Changed, Config, Declared, Member, Module},
    host::chain,
    triggers::Groundwork,
};

/// New code and room for it, by the module's name; what triggers need, by theirs.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) code: HashMap<Arc<str>, Loaded>,
    pub(super) rooms: HashMap<Arc<str>, Room>,
    pub(super) triggers: HashMap<Arc<str>, Groundwork>,
}

/// New code of a module was loaded for a reload, or was not.
#[derive(Message)]
#[rtype(result = "()")]
struct CodePrepared {
    id: u64,
    module: Arc<str>,
    outcome: Outcome,
}

impl Supervisor {
    /// Finds room for what is new, and begins to load its code. Gives the dropped modules that have no room, and why: they
    /// keep nothing else from being applied.
    pub(super) fn prepare(
        &mut self,
        draft: &Draft,
        ctx: &mut Context<Self>,
    ) -> Result<Vec<(Arc<str>, String)>, String> {
        let mut without = Vec::new();
        self.prepare_triggers(draft, ctx);
        for change in &draft.plan.changes {
            let Changed::Child(Member::Module(name)) = &change.subject else { continue };
            let Some(module) = draft.config.modules.iter().find(|module| module.name == *name) else { continue };
            match self.prepare_module(module, change, ctx) {
                Ok(()) => {}
                Err(problem) if module.declared == Declared::Dropped => without.push((Arc::clone(name), problem)),
                Err(problem) => return Err(format!("modules.{name}: {problem}")),
            }
        }
        Ok(without)
    }

    /// Begins to do what can fail of triggers: a socket that cannot be had refuses everything.
    fn prepare_triggers(&mut self, draft: &Draft, ctx: &Context<Self>) {
        let Some(id) = self.reloads.run.as_ref().map(|run| run.id) else { return };
        let mut missing = 0;
        for change in &draft.plan.changes {
            let Changed::Child(Member::Trigger(name)) = &change.subject else { continue };
            let Some(config) = draft.config.triggers.iter().find(|trigger| trigger.name == *name) else { continue };
            missing += usize::from(self.prepare_trigger(id, &Arc::new(config.clone()), change.action, ctx));
        }
        self.reloads.run.iter_mut().for_each(|run| run.missing += missing);
    }

    fn trigger_prepared(&mut self, prepared: TriggerPrepared, ctx: &mut Context<Self>) {
        let TriggerPrepared { id, trigger, result } = prepared;
        let Some(run) = self.reloads.run.as_mut().filter(|run| run.id == id) else { return };
        run.missing -= 1;
        match result {
            Ok(groundwork) => drop(run.prepared.triggers.insert(trigger, groundwork)),
            Err(error) => run.problems.push(format!("triggers.{trigger}: {}", causes_of(&error).join(": "))),
        }
        self.apply_if_prepared(ctx);
    }

    /// Takes out of a draft what dropped modules have no room for: new ones, and further instances of those that run.
    pub(super) fn leave_out(&self, draft: &mut Draft, without: Vec<(Arc<str>, String)>) {
        if without.is_empty() {
            return;
        }
        let mut config = Config::clone(&draft.config);
        for (name, why) in without {
            let before = self.config.modules.iter().find(|module| module.name == name);
            let file = format!("{name}.{}", if before.is_some() { "toml" } else { "wasm" });
            match (before, config.modules.iter_mut().find(|module| module.name == name)) {
                (Some(before), Some(module)) => module.instances = before.instances,
                _ => config.modules.retain(|module| module.name != name),
            }
            draft.refused.push(RefusedFile { file, why });
        }
        draft.plan = config::plan(&self.config, &config);
        draft.config = Arc::new(config);
    }

    fn prepare_module(&mut self, module: &Module, change: &Change, ctx: &mut Context<Self>) -> Result<(), String> {
        let instances = instances_of(module, self.workers.count());
        let engine = match change.action {
            ChangeAction::Add => {
                let room = self.engines.room(instances).map_err(|error| chain(&error))?;
                let engine = room.engine().clone();
                let run = self.reloads.run.as_mut().ok_or("the reload is over")?;
                run.prepared.rooms.insert(Arc::clone(&module.name), room);
                engine
            }
            ChangeAction::Swap | ChangeAction::Adjust | ChangeAction::Restart => {
                let child = self.find(&module.name).and_then(|at| self.modules.get_mut(at)).ok_or("it is gone")?;
                let room = child.room.as_mut().ok_or("it has no room")?;
                // Only growing can fail, and that more is reserved for a moment than a refused reload uses does no harm.
                if instances > room.instances() && !room.resize(instances) {
                    let text =
                        "its engine has no room for so many instances: only a restart of the daemon gives it that";
                    return Err(text.to_owned());
                }
                room.engine().clone()
            }
            ChangeAction::Remove | ChangeAction::NeedsDaemonRestart => return Ok(()),
        };
        // What is dropped shows its own faults, and keeps nothing else from being applied.
        let loads = match change.action {
            ChangeAction::Add | ChangeAction::Swap => module.declared == Declared::Configured,
            _ => false,
        };
        if !loads {
            return Ok(());
        }
        let run = self.reloads.run.as_mut().ok_or("the reload is over")?;
        run.missing += 1;
        let (id, name, supervisor) = (run.id, Arc::clone(&module.name), ctx.address());
        let source = match change.action {
            ChangeAction::Add => Source::Start(module.path.clone()),
            _ => Source::File(module.path.clone()),
        };
        // One notice for each load.
        let done = move |outcome| supervisor.do_send(CodePrepared { id, module: name, outcome });
        let job = self.job_of(module, (source, engine), Vec::new(), || true, done);
        match self.loader.as_ref().is_some_and(|loader| loader.load(job)) {
            true => Ok(()),
            false => Err("the threads that load modules are not running".to_owned()),
        }
    }

    fn code_prepared(&mut self, CodePrepared { id, module, outcome }: CodePrepared, ctx: &mut Context<Self>) {
        let Some(run) = self.reloads.run.as_mut().filter(|run| run.id == id) else { return };
        run.missing -= 1;
        match outcome.result {
            Ok(loaded) => {
                run.prepared.code.insert(module, loaded);
            }
            Err(error) => run.problems.push(format!("modules.{module}: {}", causes_of(&error).join(": "))),
        }
        self.apply_if_prepared(ctx);
    }
}

impl Handler<CodePrepared> for Supervisor {
    type Result = ();

    fn handle(&mut self, prepared: CodePrepared, ctx: &mut Context<Self>) {
        self.code_prepared(prepared, ctx);
    }
}

impl Handler<TriggerPrepared> for Supervisor {
    type Result = ();

    fn handle(&mut self, prepared: TriggerPrepared, ctx: &mut Context<Self>) {
        self.trigger_prepared(prepared, ctx);
    }
}
