//! Another configuration: read and compared beside everything else, its code compiled, and only then applied, as a whole.
//!
//! ```text
//!   want_reload ─▶ plan (a thread that may block) ─▶ planned ─▶ loads of new code ─▶ prepared ─▶ apply.rs ─▶ report
//!                     │ any problem                    │ any problem      │ any problem
//!                     └────────────────────────────────┴──────────────────┴──▶ refused: nothing has changed
//! ```
//!
//! One at a time: what comes meanwhile runs after it, and several that want the same run as one.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use actix::{AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;

use super::{
    drop_in::WHOLE,
    engines::{Room, instances_of},
    events::{Subject, What, unix},
    loader::{Loaded, Outcome, Source},
    messages::Reload,
    planner::{Draft, Planner, look_at},
    read::Fingerprint,
    status::{ChangeStatus, ConfigurationStatus, DropInStatus, RefusedFile, ReloadError, ReloadReport},
    tree::Supervisor,
    triggers::TriggerPrepared,
};
use crate::{
    actors::causes_of,
    config::{
        self, Change, ChangeAction, Changed, Config, Declared, Environment, LogLevel, Member, Module, Plan, WatchMode,
    },
    host::chain,
    triggers::{Groundwork, Sockets},
};

/// What is said to reloads that come too late.
const STOPPING: &str = "the daemon is stopping";

/// What a reload did or would do, or every reason why it changed nothing.
pub type ReloadOutcome = Result<ReloadReport, Vec<String>>;

/// What the supervisor has to do with that is not its own.
pub struct Surroundings {
    /// From which the configuration was read.
    pub environment: Environment,
    /// Sets the level of the log.
    pub set_level: Box<dyn Fn(LogLevel) + Send>,
    /// Sockets that connections come in at.
    pub sockets: Arc<Sockets>,
}

impl Default for Surroundings {
    /// No environment, no sockets, and a log whose level does not change.
    fn default() -> Self {
        Self { environment: Environment::default(), set_level: Box::new(|_level| ()), sockets: Arc::default() }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("environment", &self.environment).finish_non_exhaustive()
    }
}

/// Someone wants the configuration to be read again.
#[derive(Debug)]
pub(super) struct Request {
    what: Extent,
    /// Whether it is only planned.
    dry_run: bool,
    /// What asked for it.
    pub(super) why: String,
    replies: Vec<oneshot::Sender<ReloadOutcome>>,
}

/// How much is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Everything.
    Whole,
    /// The drop-in directory.
    DropIn,
}

impl Request {
    /// The drop-in directory has changed.
    pub(super) fn dropped() -> Self {
        Self { what: Extent::DropIn, dry_run: false, why: "the drop-in directory".to_owned(), replies: Vec::new() }
    }

    /// A file of the configuration has changed.
    pub(super) fn file(path: &Path) -> Self {
        let why = format!("`{}` has changed", path.display());
        Self { what: Extent::Whole, dry_run: false, why, replies: Vec::new() }
    }

    fn is_like(&self, other: &Self) -> bool {
        self.what == other.what && self.dry_run == other.dry_run
    }
}

/// The reloads of a daemon.
#[derive(Debug)]
pub(super) struct Reloads {
    surroundings: Surroundings,
    /// The configuration of the file, without what was dropped.
    base: Arc<Config>,
    /// States of the configuration's files when they were read.
    seen: HashMap<PathBuf, Option<Fingerprint>>,
    /// Files of the drop-in directory that are not accepted.
    refused: Vec<RefusedFile>,
    /// Whether the directory is looked through again after a time, because it could not be.
    retries: bool,
    /// Number of the last run, so that what comes late for another is known.
    number: u64,
    run: Option<Run>,
    waiting: VecDeque<Request>,
    loaded_at: SystemTime,
    done: u64,
    failed: u64,
    last_error: Option<ReloadError>,
}

/// The reload that is under way.
#[derive(Debug)]
struct Run {
    id: u64,
    request: Request,
    /// What it will be, when it is known.
    draft: Option<Draft>,
    /// New code that is not there yet.
    missing: usize,
    prepared: Prepared,
    problems: Vec<String>,
}

/// New code and room for it, by the module's name; what triggers need, by theirs.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    pub(super) code: HashMap<Arc<str>, Loaded>,
    pub(super) rooms: HashMap<Arc<str>, Room>,
    pub(super) triggers: HashMap<Arc<str>, Groundwork>,
}

/// A plan is made, or everything that is wrong is known.
#[derive(Message)]
#[rtype(result = "()")]
struct Planned {
    id: u64,
    result: Result<Draft, Vec<String>>,
}

/// New code of a module was loaded for a reload, or was not.
#[derive(Message)]
#[rtype(result = "()")]
struct CodePrepared {
    id: u64,
    module: Arc<str>,
    outcome: Outcome,
}

impl Reloads {
    /// With the configuration that the daemon starts with.
    pub(super) fn new(base: Config, surroundings: Surroundings) -> Self {
        let seen = look_at(&base);
        Self {
            surroundings,
            base: Arc::new(base),
            seen,
            refused: Vec::new(),
            retries: false,
            number: 0,
            run: None,
            waiting: VecDeque::new(),
            loaded_at: SystemTime::now(),
            done: 0,
            failed: 0,
            last_error: None,
        }
    }

    /// State of a file of the configuration when it was read.
    pub(super) fn seen(&self, file: &Path) -> Option<Fingerprint> {
        self.seen.get(file).copied().flatten()
    }

    /// Whether a file of the configuration is not as it was read.
    pub(super) fn is_news(&self, path: &Path, file: Option<Fingerprint>) -> bool {
        self.seen.get(path) != Some(&file)
    }

    /// Sets the level of the log.
    pub(super) fn set_level(&self, level: LogLevel) {
        (self.surroundings.set_level)(level);
    }

    pub(super) fn status(&self, config: &Config) -> ConfigurationStatus {
        ConfigurationStatus {
            path: config.source.display().to_string(),
            loaded_at: unix(self.loaded_at),
            reloads: self.done,
            reloads_refused: self.failed,
            last_error: self.last_error.clone(),
        }
    }

    pub(super) fn drop_in_status(&self, config: &Config) -> Option<DropInStatus> {
        let drop_in = config.drop_in.as_ref()?;
        Some(DropInStatus { path: drop_in.dir.display().to_string(), refused: self.refused.clone() })
    }
}

impl Supervisor {
    /// Reads the configuration again, now or after what is under way.
    pub(super) fn want_reload(&mut self, mut request: Request, ctx: &mut Context<Self>) {
        match self.reloads.waiting.iter_mut().find(|waiting| waiting.is_like(&request)) {
            Some(waiting) => waiting.replies.append(&mut request.replies),
            None => self.reloads.waiting.push_back(request),
        }
        self.next_reload(ctx);
    }

    fn next_reload(&mut self, ctx: &mut Context<Self>) {
        if self.reloads.run.is_some() {
            return;
        }
        if self.draining || self.triggers_end {
            for request in self.reloads.waiting.drain(..) {
                answer(request.replies, Err(vec![STOPPING.to_owned()]));
            }
        }
        let Some(request) = self.reloads.waiting.pop_front() else { return };
        self.reloads.number += 1;
        let id = self.reloads.number;
        let planner = Planner {
            whole: request.what == Extent::Whole,
            base: Arc::clone(&self.reloads.base),
            current: Arc::clone(&self.config),
            environment: self.reloads.surroundings.environment.clone(),
            settled: self.follower.settled.clone(),
            read: self.files_that_were_read(),
        };
        let (draft, prepared, problems) = (None, Prepared::default(), Vec::new());
        self.reloads.run = Some(Run { id, request, draft, missing: 0, prepared, problems });
        let supervisor = ctx.address();
        actix::spawn(async move {
            let planned = tokio::task::spawn_blocking(move || planner.plan()).await;
            let result = planned.unwrap_or_else(|error| Err(vec![format!("reading it panicked: {error}")]));
            // One notice for each reload.
            supervisor.do_send(Planned { id, result });
        });
    }

    fn planned(&mut self, Planned { id, result }: Planned, ctx: &mut Context<Self>) {
        if self.reloads.run.as_ref().is_none_or(|run| run.id != id) {
            return;
        }
        let mut draft = match result {
            Ok(draft) => draft,
            Err(problems) => return self.refuse_reload(problems, ctx),
        };
        let refused = draft.plan.refused();
        if !refused.is_empty() {
            return self.refuse_reload(refused, ctx);
        }
        match self.prepare(&draft, ctx) {
            Ok(without) => self.leave_out(&mut draft, without),
            Err(problem) => return self.refuse_reload(vec![problem], ctx),
        }
        if let Some(run) = &mut self.reloads.run {
            run.draft = Some(draft);
        }
        self.apply_if_prepared(ctx);
    }

    /// Finds room for what is new, and begins to load its code. Gives the dropped modules that have no room, and why: they
    /// keep nothing else from being applied.
    fn prepare(&mut self, draft: &Draft, ctx: &mut Context<Self>) -> Result<Vec<(Arc<str>, String)>, String> {
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
    fn leave_out(&self, draft: &mut Draft, without: Vec<(Arc<str>, String)>) {
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

    fn apply_if_prepared(&mut self, ctx: &mut Context<Self>) {
        let Some(run) = &self.reloads.run else { return };
        if run.missing > 0 || run.draft.is_none() {
            return;
        }
        if !run.problems.is_empty() {
            let problems = run.problems.clone();
            return self.refuse_reload(problems, ctx);
        }
        if self.draining || self.triggers_end {
            return self.refuse_reload(vec![STOPPING.to_owned()], ctx);
        }
        let Some(Run { request, draft: Some(draft), prepared, .. }) = self.reloads.run.take() else { return };
        let report = report(&draft.plan, request.dry_run);
        if request.dry_run {
            answer(request.replies, Ok(report));
            return self.next_reload(ctx);
        }
        self.reloads.base = Arc::clone(&draft.base);
        self.reloads.seen = draft.seen.clone();
        self.note_refused(&draft.refused);
        self.retry_drop_in(ctx);
        // A file that was told to be gone after the scan began is still to be acted on: its module is there.
        let scanned = |path: &Path| draft.config.modules.iter().any(|module| module.path == *path);
        self.follower.settled.retain(|path, file| file.is_some() || scanned(path));
        if request.what == Extent::Whole {
            self.reloads.done += 1;
            self.reloads.loaded_at = SystemTime::now();
            self.reloads.last_error = None;
        }
        if request.what == Extent::Whole || !draft.plan.is_empty() {
            let changes = draft.plan.changes.iter().map(ToString::to_string).collect();
            self.events.record(Subject::Daemon, What::Reloaded { why: request.why, changes });
        }
        let wait = !request.replies.is_empty();
        let outcomes = self.apply(draft, prepared, wait, ctx);
        let replies = request.replies;
        if wait {
            actix::spawn(async move {
                let report = outcomes.into_report(report).await;
                answer(replies, Ok(report));
            });
        }
        self.next_reload(ctx);
    }

    /// Ends a reload that changes nothing.
    fn refuse_reload(&mut self, problems: Vec<String>, ctx: &mut Context<Self>) {
        let Some(Run { request, .. }) = self.reloads.run.take() else { return };
        if !request.dry_run {
            self.reloads.failed += 1;
            let error = ReloadError { at: unix(SystemTime::now()), problems: problems.clone() };
            self.reloads.last_error = Some(error);
            let what = What::ReloadRefused { why: request.why, problems: problems.clone() };
            self.events.record(Subject::Daemon, what);
        }
        answer(request.replies, Err(problems));
        self.next_reload(ctx);
    }

    /// Looks through the drop-in directory again later if it could not be: its files tell nothing when it can be again.
    pub(super) fn retry_drop_in(&mut self, ctx: &mut Context<Self>) {
        let watch = &self.config.watch;
        let wanted = watch.mode != WatchMode::Off && self.reloads.refused.iter().any(|refused| refused.file == WHOLE);
        if wanted && !std::mem::replace(&mut self.reloads.retries, true) {
            self.later(watch.poll, ctx, |supervisor, ctx| {
                supervisor.reloads.retries = false;
                supervisor.want_reload(Request::dropped(), ctx);
            });
        }
    }

    /// Tells of files that are not accepted and were not told of before.
    pub(super) fn note_refused(&mut self, refused: &[RefusedFile]) {
        for file in refused.iter().filter(|file| !self.reloads.refused.contains(file)) {
            let RefusedFile { file, why } = file.clone();
            self.events.record(Subject::Daemon, What::FileRefused { file, why });
        }
        self.reloads.refused = refused.to_vec();
    }

    /// The files of the modules that have code, in the state in which they were read.
    fn files_that_were_read(&self) -> HashMap<Arc<str>, Fingerprint> {
        let read = self.modules.values().filter(|child| !child.removed);
        read.filter_map(|child| Some((Arc::clone(&child.config.name), child.code.seen?))).collect()
    }
}

fn report(plan: &Plan, dry_run: bool) -> ReloadReport {
    let change = |change: &Change| ChangeStatus {
        subject: change.subject.to_string(),
        action: change.action.as_str().to_owned(),
        keys: change.keys.clone(),
        error: None,
    };
    ReloadReport { dry_run, changes: plan.changes.iter().map(change).collect() }
}

fn answer(replies: Vec<oneshot::Sender<ReloadOutcome>>, outcome: ReloadOutcome) {
    for reply in replies {
        // One that has gone does not want to know.
        reply.send(outcome.clone()).ok();
    }
}

impl Handler<Planned> for Supervisor {
    type Result = ();

    fn handle(&mut self, planned: Planned, ctx: &mut Context<Self>) {
        self.planned(planned, ctx);
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

impl Handler<Reload> for Supervisor {
    type Result = actix::MessageResult<Reload>;

    fn handle(&mut self, Reload { dry_run, why }: Reload, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, receiver) = oneshot::channel();
        let request = Request { what: Extent::Whole, dry_run, why, replies: vec![reply] };
        self.want_reload(request, ctx);
        actix::MessageResult(receiver)
    }
}
