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

use std::{collections::BTreeSet, sync::Arc, sync::atomic::Ordering::Relaxed, time::SystemTime};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    events::{Subject, What, unix},
    generations::{Code, OnProbation, Sha256},
    instance::{self, Renewal, routes},
    kept::Record,
    loader::{Loaded, ModuleError, Outcome, Source},
    module_child::{ModuleChild, Phase, SlotState, Then},
    status::{GenerationOrigin, SwapErrorStatus},
    swaps::{Reply, Rolling, Stage, Step, SwapError, SwapRequest, SwapRun, SwapSource, answer},
    topology::Node,
    tree::Supervisor,
};
use crate::actors::{ExitReason, ExitReport, How, Leave, TookOver, causes_of};

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

    /// Whether a child belongs to a group that gave up.
    pub(super) fn in_failed_group(&self, node: Node) -> bool {
        matches!(self.tree.root_of(node), Node::Group(group) if self.groups.is_failed(group))
    }

    fn begin_swap(&mut self, module: usize, mut request: SwapRequest, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let source = std::mem::replace(&mut request.source, SwapSource::File);
        let source = match source {
            SwapSource::LastGood { instead_of } => {
                let last_good = child.code.last_good().cloned().filter(|_| child.code.generation() == instead_of);
                let Some(mut code) = last_good else {
                    return refuse(request.reply, "there is no code that ran before and could run again");
                };
                child.swaps.begin(request);
                code.generation = child.code.next_number();
                return self.roll(module, code, ctx);
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
                self.keep(module, None);
            }
            return self.end_swap(module, Ok(false));
        }
        if from_file && !changed && child.code.is_operators() {
            // The same bytes were written once more: that is no other file.
            return self.end_swap(module, Ok(false));
        }
        let force = child.swaps.run().is_some_and(|run| run.force);
        if is_barred && !force {
            let why = "this code was rolled back before; it is taken again with force, or when the file changes";
            return self.end_swap(module, if from_file { Ok(false) } else { Err(SwapError::Refused(why.to_owned())) });
        }
        if from_file && !changed && child.code.is_instead_of_file() {
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
        match child.slots.get(slot).map(|place| &place.state) {
            Some(SlotState::Live(_)) => self.renew_guest(module, slot, ctx),
            Some(SlotState::Empty | SlotState::Backoff(_)) => self.start_swapped(module, slot, ctx),
            // It is live soon, or gone.
            Some(SlotState::Starting(..) | SlotState::Leaving(_)) | None => {}
        }
    }

    /// Starts a guest of the new code beside a live instance, which is to take it.
    fn renew_guest(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let Some(place) = child.slots.get(slot) else { return };
        let (SlotState::Live(live), Some(run)) = (&place.state, child.swaps.run()) else { return };
        let Stage::Rolling(rolling) = &run.stage else { return };
        let rolls_back = run.origin == GenerationOrigin::RollBack;
        let config = Arc::clone(&child.config);
        let Some(recipe) = self.recipe(module, place.worker, &rolling.code, !rolls_back) else { return };
        let renewal = Renewal {
            module,
            instance: live.id,
            addr: live.addr.clone(),
            recipe,
            // The state of code that is not wanted is not handed on.
            hand_over: config.swap.hand_over.clone().filter(|_| !rolls_back),
            reply: ctx.address().recipient(),
        };
        let (instance, worker) = (live.id, place.worker);
        // A worker that has ended tells so, with the exit of its instances.
        let renewal = self.workers.handle(worker).and_then(|worker| instance::renew(&worker, renewal));
        let Some(abort) = renewal else { return };
        let step = Step { slot, instance, renewal: Some(abort), config };
        self.begin_step(module, step);
    }

    /// Starts an instance of the new code where none is.
    fn start_swapped(&mut self, module: usize, slot: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let config = Arc::clone(&child.config);
        if let Some(place) = child.slots.get_mut(slot) {
            place.state = SlotState::Empty;
        }
        // The step first, since it says which code is started.
        self.begin_step(module, Step { slot, instance: 0, renewal: None, config });
        self.start_instance(module, slot, ctx);
        let Some(child) = self.modules.get_mut(module) else { return };
        let started = child.slots.get(slot).and_then(|place| place.state.id());
        let Some(rolling) = child.swaps.rolling_mut() else { return };
        match (started, &mut rolling.step) {
            (Some(instance), Some(step)) => step.instance = instance,
            _ => rolling.step = None,
        }
    }

    fn begin_step(&mut self, module: usize, step: Step) {
        let rolling = self.modules.get_mut(module).and_then(|child| child.swaps.rolling_mut());
        if let Some(rolling) = rolling {
            rolling.step = Some(step);
        }
    }

    fn took_over(&mut self, message: TookOver, ctx: &mut Context<Self>) {
        let TookOver { module, instance, generation, outcome } = message;
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(slot) = child.slots.iter().position(|place| place.state.is(instance)) else { return };
        let rolling = child.swaps.rolling_mut();
        let of_step = |rolling: &&mut Rolling| {
            rolling.code.generation == generation
                && rolling.step.as_ref().is_some_and(|step| step.instance == instance && step.renewal.is_some())
        };
        let step = rolling.filter(of_step).and_then(|rolling| rolling.step.take());
        match (step, outcome) {
            (Some(step), Ok(links)) => {
                let changed = !Arc::ptr_eq(&step.config, &child.config);
                if let Some(place) = child.slots.get_mut(slot) {
                    place.generation = generation;
                    place.sick = 0;
                    if let SlotState::Live(live) | SlotState::Leaving(live) = &mut place.state {
                        live.links = links;
                    }
                    let what = What::InstanceSwapped { instance, generation, worker: place.worker };
                    self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
                }
                if let Some(rolling) = child.swaps.rolling_mut() {
                    rolling.taken.insert(slot);
                }
                if changed {
                    self.adjust_instance(module, slot);
                }
                self.advance_swap(module, ctx);
            }
            (Some(_), Err(causes)) => self.swap_failed(module, causes, ctx),
            // The swap was given up, and the instance had taken its code already.
            (None, Ok(_)) => {
                child.slots.get_mut(slot).into_iter().for_each(|place| place.generation = generation);
                self.put_back_code(module, slot, generation);
            }
            (None, Err(_)) => {}
        }
        self.touched(Node::Module(module), ctx);
    }

    /// Lets an instance make way that was started with code which does not take over any more.
    pub(super) fn put_back_other_code(&mut self, module: usize, slot: usize, generation: u64) {
        let code = self.modules.get(module).and_then(|child| child.code_for(slot));
        if code.is_some_and(|code| code.generation != generation) {
            self.put_back_code(module, slot, generation);
        }
    }

    /// Lets an instance make way that has code which is not the module's.
    fn put_back_code(&mut self, module: usize, slot: usize, generation: u64) {
        let Some(child) = self.modules.get_mut(module) else { return };
        if child.code.generation() == generation {
            return;
        }
        let Some(place) = child.slots.get_mut(slot) else { return };
        match &place.state {
            SlotState::Live(live) => {
                live.addr.do_send(Leave::from(How::AfterCall));
                place.state = SlotState::Leaving(live.clone());
            }
            SlotState::Starting(_, abort) => abort.abort(),
            SlotState::Empty | SlotState::Backoff(_) | SlotState::Leaving(_) => {}
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
        self.keep(module, Some((origin, why)));
        self.answer_when_kept(reply);
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
            self.keep(module, Some((origin, format!("the file's code did not take over: {why}"))));
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
        let run = child.swaps.end();
        answer(run.and_then(|run| run.reply), Err(SwapError::Refused(why.to_owned())));
    }

    /// Counts the exit of an instance against the code that it ran; what follows, where anything does but a restart.
    pub(super) fn exit_of_code(&mut self, module: usize, exit: CodeExit, reason: ExitReason) -> Option<CodeFailure> {
        let CodeExit { instance, generation, .. } = exit;
        let child = self.modules.get_mut(module)?;
        let probation = child.config.swap.probation;
        let Some(rolling) = child.swaps.rolling_mut() else {
            let failed = is_failure(reason).then(|| child.code.count_failure(generation)).flatten();
            return failed.map(CodeFailure::Probation);
        };
        let of_step = rolling.step.take_if(|step| step.instance == instance);
        if of_step.is_some_and(|step| step.renewal.is_none()) {
            return Some(CodeFailure::Swap("an instance of the new code did not start".to_owned()));
        }
        if generation != rolling.code.generation || !is_failure(reason) {
            return None;
        }
        rolling.failures += 1;
        let failures = rolling.failures;
        let too_many = probation.is_some_and(|probation| failures > probation.max_failures);
        too_many.then(|| {
            CodeFailure::Swap(format!("instances of the new code failed {} while it took over", times(failures)))
        })
    }

    /// Goes back to the code before.
    pub(super) fn code_failed(
        &mut self,
        module: usize,
        exit: CodeExit,
        failure: CodeFailure,
        report: &ExitReport,
        ctx: &mut Context<Self>,
    ) {
        match failure {
            CodeFailure::Swap(what) => {
                let causes = std::iter::once(what).chain(report.causes.iter().cloned()).collect();
                self.swap_failed(module, causes, ctx);
            }
            CodeFailure::Probation(failed) => self.fail_probation(module, failed, ctx),
        }
        // Where the swap back does not come by at once.
        let rolls = self.modules.get(module).is_some_and(|child| child.swaps.rolling().is_some());
        if !rolls {
            self.start_instance(module, exit.slot, ctx);
        }
    }

    /// Goes back to the code before, if it is on probation and the module has failed with it.
    pub(super) fn fail_with_code(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        if let (Some(on), Some(_)) = (child.code.probation, child.code.last_good()) {
            self.fail_probation(module, on, ctx);
        }
    }

    fn fail_probation(&mut self, module: usize, failed: OnProbation, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let OnProbation { generation, failures, of } = failed;
        let what = What::ProbationFailed { generation, failures, of };
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        let why = Some(format!("its instances failed {} in its probation, {of} allowed", times(failures)));
        let source = SwapSource::LastGood { instead_of: generation };
        let request = SwapRequest { source, origin: GenerationOrigin::RollBack, why, reply: None };
        self.want_swap(module, request, ctx);
    }

    fn pass_probation(&mut self, module: usize, generation: u64) {
        let Some(child) = self.modules.get_mut(module) else { return };
        if child.code.pass(generation) {
            let subject = Subject::Module(Arc::clone(&child.config.name));
            self.events.record(subject, What::ProbationPassed { generation });
        }
    }

    /// Writes down what runs instead of the file, or that the file runs. Nobody waits for the disk here.
    fn keep(&mut self, module: usize, instead: Option<(GenerationOrigin, String)>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(current) = child.code.current() else { return };
        let (name, runs, size) = (Arc::clone(&child.config.name), current.sha256.to_string(), current.size);
        let file = child.code.file.as_ref().map(|file| file.sha256.to_string());
        let barred: Vec<String> = child.code.barred.iter().map(ToString::to_string).collect();
        let is_file = file.as_ref() == Some(&runs);
        let Some((origin, why)) = instead.filter(|_| !is_file || !barred.is_empty()) else {
            self.keeper.forget(name);
            return;
        };
        child.code.run_instead(why.clone());
        let record = Record { file, runs, size, origin, at: unix(SystemTime::now()), barred, why: Some(why) };
        self.keeper.keep(name, record);
    }

    /// Tells whoever asked for a swap that it is done, when what was written down for it is on the disk.
    fn answer_when_kept(&self, reply: Option<Reply>) {
        let Some(reply) = reply else { return };
        self.keeper.then(move || answer(Some(reply), Ok(true)));
    }

    /// Gives a live instance the links and limits that its module has now.
    pub(super) fn adjust_instance(&self, module: usize, slot: usize) {
        let Some(child) = self.modules.get(module) else { return };
        let Some(place) = child.slots.get(slot) else { return };
        if let SlotState::Live(live) | SlotState::Leaving(live) = &place.state {
            live.links.set(routes(&child.config, &self.binding_actors(place.worker)));
            // Few, and not to be lost.
            live.addr.do_send(crate::actors::SetLimits((&child.config.limits).into()));
        }
    }
}

/// The exit of an instance, as it concerns the code that it ran.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodeExit {
    pub(super) slot: usize,
    pub(super) instance: u64,
    pub(super) generation: u64,
}

/// Why code is taken back.
#[derive(Debug)]
pub(super) enum CodeFailure {
    /// It does not take over.
    Swap(String),
    /// It failed in its probation.
    Probation(OnProbation),
}

/// Whether an exit speaks against the code: not one that was asked for, and not waiting for a slow backend.
fn is_failure(reason: ExitReason) -> bool {
    !matches!(reason, ExitReason::Stopped | ExitReason::Exited(0) | ExitReason::DeadlineExceeded { in_host_call: true })
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn refuse(reply: Option<Reply>, why: &str) {
    answer(reply, Err(SwapError::Refused(why.to_owned())));
}

impl ModuleChild {
    /// The code with which an instance is started in a place: the new one where a swap under way has come by.
    pub(super) fn code_for(&self, slot: usize) -> Option<&Code> {
        let rolling = self.swaps.rolling();
        let new = rolling.filter(|rolling| {
            rolling.taken.contains(&slot) || rolling.step.as_ref().is_some_and(|step| step.slot == slot)
        });
        new.map(|rolling| &rolling.code).or_else(|| self.code.current())
    }
}

impl Handler<SwapLoaded> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: SwapLoaded, ctx: &mut Context<Self>) {
        self.swap_loaded(message, ctx);
    }
}

impl Handler<TookOver> for Supervisor {
    type Result = ();

    fn handle(&mut self, message: TookOver, ctx: &mut Context<Self>) {
        self.took_over(message, ctx);
    }
}
