//! What happens in a swap: other code is loaded, then each instance in turn gets a guest of it between two calls; when all
//! have one, the code is the module's. Whatever fails leaves the module its old code.
//!
//! ```text
//!   want_swap ── next_swap ──▶ Loading ── swap_loaded ──▶ Rolling ── advance_swap ──▶ a step for each instance
//!      file, operator,            │                          │  ▲         │ live: a guest beside it, TakeOver, TookOver
//!      roll back, reload          │                          │  └─────────┤ none: an instance is started with the code
//!                                 ▼                          ▼            ▼
//!                            swap_failed ◀────────────── swap_failed    commit_swap ── probation ── swap back
//! ```
//!
//! `roll.rs` has the steps of the instances, `probation.rs` what their exits say about the code, and `keeper.rs` what is
//! written down of it.

use std::{collections::BTreeSet, sync::Arc, sync::atomic::Ordering::Relaxed, time::SystemTime};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    events::{Subject, What},
    generations::{Code, Sha256},
    loader::{Loaded, Outcome, Source},
    module_child::{Phase, Then},
    module_error::ModuleError,
    moments::unix,
    slot::SlotState,
    status::{GenerationOrigin, SwapErrorStatus},
    swaps::{Reply, Rolling, Stage, SwapError, SwapRequest, SwapRun, SwapSource, answer},
    topology::Node,
    tree::Supervisor,
};
use crate::actors::causes_of;

/// Code for a swap was loaded, or was not. Sent by the thread that loaded it.
#[derive(Message)]
#[rtype(result = "()")]
struct SwapLoaded {
    module: usize,
    /// Which swap.
    id: u64,
    outcome: Outcome,
}

impl Supervisor {
    /// Swaps a module's code, now or after the swaps that were asked for before.
    pub(super) fn want_swap(&mut self, module: usize, request: SwapRequest, ctx: &mut Context<Self>) {
        let draining = self.draining;
        match self.modules.get_mut(module) {
            Some(_) if draining => refuse(request.reply, "the daemon is stopping"),
            Some(child) => child.swaps.push(request),
            None => refuse(request.reply, "the module is gone"),
        }
        self.next_swap(module, ctx);
    }

    /// Begins the next swap that waits, if the module is in a state for it.
    pub(super) fn next_swap(&mut self, module: usize, ctx: &mut Context<Self>) {
        // Each turn ends one request or begins a swap.
        while let Some(child) = self.modules.get_mut(module) {
            // What is being loaded is waited for.
            if child.phase == Phase::Loading {
                return;
            }
            let (Some(request), phase) = (child.swaps.next(), child.phase) else { return };
            let is_file = matches!(request.source, SwapSource::File | SwapSource::Loaded(_));
            match phase {
                // The next start loads the file.
                Phase::Idle | Phase::Stopping(Then::Stop) | Phase::Stopped if is_file => {
                    answer(request.reply, Ok(false));
                }
                Phase::Idle => refuse(request.reply, "it is lazy and has not been called yet"),
                Phase::Stopping(Then::Stop) | Phase::Stopped => refuse(request.reply, "it is stopped"),
                Phase::Failed if self.in_failed_group(Node::Module(module)) => {
                    refuse(request.reply, "its group has failed: start it first");
                }
                _ => self.begin_swap(module, request, ctx),
            }
        }
    }

    fn begin_swap(&mut self, module: usize, mut request: SwapRequest, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let source = std::mem::replace(&mut request.source, SwapSource::File);
        let source = match source {
            SwapSource::LastGood { instead_of } => {
                let runs = child.code.generation() == instead_of;
                match child.code.last_good().cloned().filter(|_| runs) {
                    Some(mut code) => {
                        child.swaps.begin(request);
                        code.generation = child.code.next_number();
                        return self.roll(module, code, ctx);
                    }
                    // Since the daemon was started; then the file is what ran before an operator swapped it.
                    None if runs && child.code.may_go_back_to_file() => Source::File(child.config.path.clone()),
                    None => return refuse(request.reply, "there is no code that ran before and could run again"),
                }
            }
            SwapSource::Loaded(loaded) => {
                child.swaps.begin(request);
                return self.take_loaded(module, *loaded, ctx);
            }
            SwapSource::File => Source::File(child.config.path.clone()),
            SwapSource::Sent { code, force } => {
                request.source = SwapSource::Sent { code: code.clone(), force };
                Source::Sent(code)
            }
        };
        let mut known: Vec<Sha256> = child.code.sha256().into_iter().cloned().collect();
        // What was rolled back stays away; but a file that has come to it since is what somebody wants now.
        let barred = &child.code.barred;
        match (&request.source, &child.code.file) {
            (SwapSource::Sent { force: false, .. }, _) => known.extend(barred.iter().cloned()),
            (SwapSource::File, Some(file)) => known.extend(barred.get(&file.sha256).cloned()),
            _ => {}
        }
        let (id, current) = child.swaps.begin(request);
        let supervisor = ctx.address();
        // One notice for each load, and the supervisor outlives the thread.
        let done = move |outcome| supervisor.do_send(SwapLoaded { module, id, outcome });
        let job = self.load_job(module, source, known, move || current.load(Relaxed) == id, done);
        if !job.is_some_and(|job| self.loader.as_ref().is_some_and(|loader| loader.load(job))) {
            self.swap_failed(module, vec!["the threads that load modules are not running".to_owned()], ctx);
        }
    }

    fn swap_loaded(&mut self, message: SwapLoaded, ctx: &mut Context<Self>) {
        let SwapLoaded { module, id, outcome } = message;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(run) = child.swaps.run().filter(|run| run.id == id) else { return };
        if run.origin == GenerationOrigin::File {
            child.code.seen = outcome.seen;
        }
        match outcome.result {
            Ok(loaded) => self.take_loaded(module, loaded, ctx),
            // It will be read when whoever writes it has done so.
            Err(ModuleError::BeingWritten { path }) => {
                self.end_swap(module, Ok(false));
                self.look_again(path);
            }
            Err(error) => {
                // What does not become code is what the file holds all the same.
                if let Some(file) = outcome.file {
                    child.code.note_file(file);
                }
                self.swap_failed(module, causes_of(&error), ctx);
            }
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Goes on with code that was loaded: unless it is the module's already, or was rolled back before.
    fn take_loaded(&mut self, module: usize, loaded: Loaded, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Loaded { file, sha256, size, compiled, held, .. } = loaded;
        let from_file = file.is_some();
        let changed = file.is_some_and(|file| child.code.note_file(file));
        let is_barred = child.code.barred.contains(&sha256) && !changed;
        if child.code.sha256() == Some(&sha256) {
            if from_file {
                // Nothing is wrong with it any more, if something was.
                child.code.last_error.take_if(|error| changed || error.origin == GenerationOrigin::File);
            }
            if changed {
                // The file has come to what runs.
                child.code.barred.clear();
                self.keep(module, None, None);
            }
            return self.end_swap(module, Ok(false));
        }
        let (force, goes_back) =
            child.swaps.run().map_or((false, false), |run| (run.force, run.origin == GenerationOrigin::RollBack));
        if is_barred && !force {
            let why = "this code was rolled back before; it is taken again with force, or when the file changes";
            return self.end_swap(module, if from_file { Ok(false) } else { Err(SwapError::Refused(why.to_owned())) });
        }
        if from_file && !changed && !goes_back && child.code.is_instead_of_file() {
            // A file that was only touched has not changed.
            return self.end_swap(module, Ok(false));
        }
        let Some(compiled) = compiled else {
            // What was known when it was loaded and is no more: looked at again.
            return self.end_swap(module, Err(SwapError::Refused("the module's code changed meanwhile".to_owned())));
        };
        if changed {
            child.code.barred.clear();
        }
        let code = Code { compiled, sha256, size, generation: child.code.next_number(), _held: Arc::new(held) };
        self.roll(module, code, ctx);
    }

    /// Begins to give the code to the instances.
    fn roll(&mut self, module: usize, code: Code, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(run) = child.swaps.run_mut() else { return };
        let (generation, sha256, origin) = (code.generation, code.sha256.to_string(), run.origin);
        run.stage = Stage::Rolling(Rolling { code, taken: BTreeSet::new(), step: None, failures: 0 });
        let subject = Subject::Module(Arc::clone(&child.config.name));
        self.events.record(subject, What::SwapBegan { generation, sha256, origin });
        self.advance_swap(module, ctx);
    }

    /// Goes on with what has to do with swaps after a change of the module.
    pub(super) fn go_on_with_swaps(&mut self, module: usize, ctx: &mut Context<Self>) {
        if self.modules.get(module).is_some_and(|child| !child.swaps.is_idle()) {
            self.advance_swap(module, ctx);
            self.next_swap(module, ctx);
        }
    }

    /// Goes on with the swap under way, if it can go on. To be called after every change of the module.
    pub(super) fn advance_swap(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let Some(rolling) = child.swaps.rolling().filter(|rolling| rolling.step.is_none()) else { return };
        match child.phase {
            Phase::Up => {}
            // A member of a group that gave up comes back with its group.
            Phase::Failed if self.in_failed_group(Node::Module(module)) => {
                return self.give_up_swaps(module, "its group has failed: start it first");
            }
            // It goes on when instances run again: nobody has tried this code yet.
            Phase::Waiting(_) | Phase::Held | Phase::Stopping(Then::Hold) if child.code.current().is_some() => return,
            // Nothing runs: the next instances are made of it.
            Phase::Waiting(_) | Phase::Held | Phase::Stopping(Then::Hold) | Phase::Failed => {
                return self.commit_swap(module, ctx);
            }
            Phase::Idle | Phase::Loading | Phase::Stopping(Then::Stop) | Phase::Stopped => return,
        }
        let Some(slot) = (0..child.slots.len()).find(|slot| !rolling.taken.contains(slot)) else {
            return self.commit_swap(module, ctx);
        };
        // It is open soon, or nothing has come of it.
        if child.is_opening(rolling.code.generation) {
            return;
        }
        match child.slots.get(slot).map(|place| &place.state) {
            Some(SlotState::Live(_)) => self.renew_guest(module, slot, ctx),
            Some(SlotState::Empty | SlotState::Backoff(_)) => self.start_swapped(module, slot, ctx),
            // It is live soon, or gone.
            Some(SlotState::Starting(..) | SlotState::Leaving(_)) | None => {}
        }
    }

    /// Makes the new code the module's: every instance has it.
    fn commit_swap(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(SwapRun { origin, why, reply, stage: Stage::Rolling(rolling), .. }) = child.swaps.end() else {
            return;
        };
        let Rolling { code, failures, .. } = rolling;
        let (generation, before) = (code.generation, child.code.generation());
        let (sha256, name) = (code.sha256.to_string(), Arc::clone(&child.config.name));
        let was_file = child.code.sha256() == child.code.file.as_ref().map(|file| &file.sha256);
        child.swaps.count(origin, true);
        child.code.take_over(code, origin, why.clone());
        self.events.record(Subject::Module(name), What::Swapped { generation, before, sha256, origin });
        let probation = child.config.swap.probation.filter(|_| origin != GenerationOrigin::RollBack);
        if let Some(probation) = probation {
            child.code.watch(probation.max_failures);
            self.later(probation.time, ctx, move |supervisor, _| supervisor.pass_probation(module, generation));
        }
        let why = match (origin, why) {
            (GenerationOrigin::Operator, _) => "an operator swapped it; that holds until the file changes".to_owned(),
            (GenerationOrigin::RollBack, Some(why)) => {
                format!("{} code was rolled back: {why}", if was_file { "the file's" } else { "an operator's" })
            }
            (_, why) => why.unwrap_or_default(),
        };
        self.keep(module, Some((origin, why)), reply);
        // What it failed with was the old code's fault.
        self.histories.clear([Node::Module(module)]);
        if self.modules.get(module).is_some_and(|child| child.phase == Phase::Failed) {
            self.await_turn(module, ctx);
        }
        // Those that failed while it took over failed in its probation: not too often, or it would not be here.
        for _ in 0..failures {
            self.modules.get_mut(module).and_then(|child| child.code.count_failure(generation));
        }
        self.next_swap(module, ctx);
        self.touched(Node::Module(module), ctx);
    }

    /// Ends a swap that changed nothing.
    fn end_swap(&mut self, module: usize, outcome: Result<bool, SwapError>) {
        let run = self.modules.get_mut(module).and_then(|child| child.swaps.end());
        answer(run.and_then(|run| run.reply), outcome);
    }

    /// Ends a swap whose code does not take over: instances that have it make way for the old.
    pub(super) fn swap_failed(&mut self, module: usize, causes: Vec<String>, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(SwapRun { origin, reply, stage, .. }) = child.swaps.end() else { return };
        let rolling = match stage {
            Stage::Rolling(rolling) => Some(rolling),
            Stage::Loading => None,
        };
        child.swaps.count(origin, false);
        let code = rolling.as_ref().map(|rolling| &rolling.code);
        let sha256 = code.map(|code| code.sha256.to_string());
        let error =
            SwapErrorStatus { at: unix(SystemTime::now()), origin, sha256: sha256.clone(), causes: causes.clone() };
        child.code.refuse(code, error);
        let why = causes.join(": ");
        let what = What::SwapFailed { origin, sha256, why: why.clone() };
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        if origin == GenerationOrigin::File {
            // What runs now runs also after the daemon was started anew, as long as the file is this one.
            self.keep(module, Some((origin, format!("the file's code did not take over: {why}"))), None);
        }
        if let Some(Rolling { code, taken, .. }) = rolling {
            for slot in taken {
                self.put_back_code(module, slot, code.generation);
            }
        }
        answer(reply, Err(SwapError::Failed(causes)));
        self.next_swap(module, ctx);
    }

    /// Gives up the swap under way and those that wait, because the module ends.
    pub(super) fn give_up_swaps(&mut self, module: usize, why: &str) {
        let Some(child) = self.modules.get_mut(module) else { return };
        child.swaps.refuse_waiting(why);
        let Some(SwapRun { origin, reply, stage, .. }) = child.swaps.end() else { return };
        // What was told to begin is told to end.
        if let Stage::Rolling(Rolling { code, .. }) = stage {
            child.swaps.count(origin, false);
            let what = What::SwapFailed { origin, sha256: Some(code.sha256.to_string()), why: why.to_owned() };
            self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        }
        answer(reply, Err(SwapError::Refused(why.to_owned())));
    }
}

fn refuse(reply: Option<Reply>, why: &str) {
    answer(reply, Err(SwapError::Refused(why.to_owned())));
}

impl Handler<SwapLoaded> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: SwapLoaded, ctx: &mut Context<Self>) {
        self.swap_loaded(message, ctx);
    }
}
