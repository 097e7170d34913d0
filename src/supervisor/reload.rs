//! Another configuration: read and compared beside everything else, its code compiled, and only then applied, as a whole.
//!
//! ```text
//!   want_reload ─▶ plan (a thread that may block) ─▶ planned ─▶ loads of new code ─▶ prepared ─▶ apply.rs ─▶ report
//!                     │ any problem                    │ any problem      │ any problem
//!                     └────────────────────────────────┴──────────────────┴──▶ refused: nothing has changed
//! ```
//!
//! One at a time: what comes meanwhile runs after it, and several that want the same run as one. `reloads.rs` has what is known of
//! them, `prepare.rs` what is done between plan and change.

use std::{collections::HashMap, path::Path, sync::Arc, time::SystemTime};

use actix::{AsyncContext, Context, Handler, Message};
use tokio::sync::oneshot;

use super::{
    drop_in::WHOLE,
    events::{Subject, What},
    fingerprint::Fingerprint,
    messages::Reload,
    moments::unix,
    planner::{Draft, Planner},
    prepare::Prepared,
    reloads::{Extent, ReloadOutcome, ReloadStep, Request, Run},
    status::{ChangeStatus, RefusedFile, ReloadError, ReloadReport},
    tree::Supervisor,
};
use crate::config::{Change, Plan, WatchMode};

/// What is said to reloads that come too late.
const STOPPING: &str = "the daemon is stopping";

/// A plan is made, or everything that is wrong is known.
#[derive(Message)]
#[rtype(result = "()")]
struct Planned {
    id: u64,
    result: Result<Draft, Vec<String>>,
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
        self.reloads.tell(&request, ReloadStep::Began);
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

    /// Applies what is planned, if all of that is there or will not be.
    pub(super) fn apply_if_prepared(&mut self, ctx: &mut Context<Self>) {
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
            self.events.record(Subject::Daemon, What::Reloaded { why: request.why.clone(), changes });
        }
        let (wait, changes) = (!request.replies.is_empty(), draft.plan.changes.len());
        let outcomes = self.apply(draft, prepared, wait, ctx);
        self.reloads.tell(&request, ReloadStep::Done(changes));
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
            let what = What::ReloadRefused { why: request.why.clone(), problems: problems.clone() };
            self.events.record(Subject::Daemon, what);
            self.reloads.tell(&request, ReloadStep::Refused(&problems));
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

impl Handler<Reload> for Supervisor {
    type Result = actix::MessageResult<Reload>;

    fn handle(&mut self, Reload { dry_run, why }: Reload, ctx: &mut Context<Self>) -> Self::Result {
        let (reply, receiver) = oneshot::channel();
        let request = Request { what: Extent::Whole, dry_run, why, replies: vec![reply] };
        self.want_reload(request, ctx);
        actix::MessageResult(receiver)
    }
}
