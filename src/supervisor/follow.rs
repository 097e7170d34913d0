//! What the supervisor hears of files: which are watched, and what follows when one has changed and rests again.

use std::path::{Path, PathBuf};

use actix::{AsyncContext, Context, Handler, Message};

use super::{
    drop_in::Settled,
    events::Subject,
    fingerprint::Fingerprint,
    module_child::{ModuleChild, Phase},
    reloads::Request,
    status::GenerationOrigin,
    swaps::{SwapRequest, SwapSource},
    tree::Supervisor,
    watch::{Notice, Target, TargetKind, Watcher},
};
use crate::config::Declared;

/// The watcher, and what it has told of the drop-in directory.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// `None`: not started yet, or it could not be.
    watcher: Option<Watcher>,
    pub(super) settled: Settled,
    /// Whether the targets are to be made anew.
    stale: bool,
}

/// A file has changed and rests again. Sent by the watching thread.
#[derive(Message)]
#[rtype(result = "()")]
struct FileSettled(Notice);

impl Supervisor {
    /// Begins to watch files.
    pub(super) fn begin_to_follow(&mut self, ctx: &mut Context<Self>) {
        let supervisor = ctx.address();
        // One notice for each change of a file, which must not be lost to a full mailbox.
        let notify = move |notice| supervisor.do_send(FileSettled(notice));
        match Watcher::start(self.config.watch.clone(), notify) {
            Ok(watcher) => self.follower.watcher = Some(watcher),
            Err(error) => tracing::error!(%error, "cannot watch files: changes are seen only when someone asks"),
        }
        self.follow_files(ctx);
    }

    /// Watches what is to be watched now, in a moment: many modules load at once.
    pub(super) fn follow_files(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.follower.stale, true) {
            return;
        }
        self.later(std::time::Duration::from_millis(1), ctx, |supervisor, _| {
            supervisor.follower.stale = false;
            let targets = supervisor.targets();
            if let Some(watcher) = &supervisor.follower.watcher {
                watcher.set(targets);
            }
        });
    }

    /// Goes on with the settings of another configuration.
    pub(super) fn follow_as_configured(&mut self, ctx: &mut Context<Self>) {
        if let Some(watcher) = &self.follower.watcher {
            watcher.configure(self.config.watch.clone());
        }
        self.follow_files(ctx);
    }

    /// Looks at a file again that was being written when it was to be read.
    pub(super) fn look_again(&self, path: PathBuf) {
        if let Some(watcher) = &self.follower.watcher {
            watcher.look_again(path);
        }
    }

    fn targets(&self) -> Vec<Target> {
        let target = |path: &Path, kind| Target { path: path.to_owned(), kind };
        let mut targets = Vec::new();
        for (_, child) in self.modules.iter().filter(|(_, child)| !child.removed) {
            // What was not loaded yet is read when it is. A file that is gone may come back.
            let known = child.code.seen.is_some() || child.code.current().is_some() || child.phase == Phase::Failed;
            if known {
                targets.push(target(&child.config.path, TargetKind::File { seen: child.code.seen }));
            }
        }
        if let Some(drop_in) = &self.config.drop_in {
            targets.push(target(&drop_in.dir, TargetKind::Directory { extensions: vec!["wasm", "toml"] }));
        }
        if self.config.watch.config {
            for file in &self.config.files {
                let seen = self.reloads.seen(file);
                targets.push(target(file, TargetKind::File { seen }));
            }
            for directory in self.config.includes.iter().filter_map(|pattern| pattern.parent()) {
                targets.push(target(directory, TargetKind::Directory { extensions: vec!["toml"] }));
            }
        }
        targets
    }

    fn file_settled(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        // Only triggers have inboxes.
        let Notice::Settled { path, file } = notice else { return };
        if self.draining {
            return;
        }
        let dropped = self.config.drop_in.as_ref().is_some_and(|drop_in| path.parent() == Some(&drop_in.dir));
        if dropped {
            self.follower.settled.insert(path.clone(), file);
        }
        self.module_changed(&path, file, ctx);
        if dropped {
            // Also where a module runs already: its file may be one that is not accepted any more.
            self.want_reload(Request::dropped(), ctx);
        }
        if self.config.watch.config && self.is_configuration(&path) && self.reloads.is_news(&path, file) {
            self.want_reload(Request::file(&path), ctx);
        }
    }

    /// Lets the modules follow that run this file.
    fn module_changed(&mut self, path: &Path, file: Option<Fingerprint>, ctx: &mut Context<Self>) {
        let follows = |child: &ModuleChild| !child.removed && child.config.path == *path;
        let of_path: Vec<usize> =
            self.modules.iter().filter(|(_, child)| follows(child)).map(|(module, _)| module).collect();
        for module in of_path {
            let Some(child) = self.modules.get_mut(module) else { continue };
            if file.is_none() {
                if child.config.declared == Declared::Configured {
                    let subject = Subject::Module(child.config.name.clone());
                    tracing::warn!(child = %subject, path = %path.display(), "module file is gone, its code goes on");
                }
                child.code.seen = None;
                continue;
            }
            // What the loader has read already is no news.
            if child.code.seen == file && child.code.file.as_ref().is_some_and(|seen| Some(seen.fingerprint) == file) {
                continue;
            }
            let (source, origin) = (SwapSource::File, GenerationOrigin::File);
            self.want_swap(module, SwapRequest { source, origin, why: None, reply: None }, ctx);
        }
    }

    fn is_configuration(&self, path: &Path) -> bool {
        let included = |pattern: &PathBuf| {
            let fits = glob::Pattern::new(&pattern.to_string_lossy()).is_ok_and(|pattern| pattern.matches_path(path));
            fits && pattern.parent() == path.parent()
        };
        self.config.files.iter().any(|file| file == path) || self.config.includes.iter().any(included)
    }
}

impl Handler<FileSettled> for Supervisor {
    type Result = ();

    fn handle(&mut self, FileSettled(notice): FileSettled, ctx: &mut Context<Self>) {
        self.file_settled(notice, ctx);
    }
}
