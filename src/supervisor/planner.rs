//! Reads the configuration and the drop-in directory, and compares them with what holds: the part of a reload that waits for
//! the disk and decides nothing.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use super::{
    drop_in::{Scan, Settled, scan},
    fingerprint::Fingerprint,
    loader::Acceptance,
    status::RefusedFile,
};
use crate::config::{
    self, Change, ChangeAction, Changed, Config, Declared, Environment, Member, Module, Plan, WatchMode,
};

/// What a reload makes of the files.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) base: Arc<Config>,
    /// With what was dropped.
    pub(super) config: Arc<Config>,
    pub(super) plan: Plan,
    pub(super) seen: HashMap<PathBuf, Option<Fingerprint>>,
    pub(super) refused: Vec<RefusedFile>,
    pub(super) acceptance: Option<Acceptance>,
}

/// Reads and compares, on a thread that may block.
pub(super) struct Planner {
    pub(super) whole: bool,
    pub(super) base: Arc<Config>,
    pub(super) current: Arc<Config>,
    pub(super) environment: Environment,
    pub(super) settled: Settled,
    /// The files of the modules that have code, in the state in which they were read.
    pub(super) read: HashMap<Arc<str>, Fingerprint>,
}

impl Planner {
    pub(super) fn plan(self) -> Result<Draft, Vec<String>> {
        // Looked at before it is read: what changes meanwhile is news.
        let seen = look_at(&self.base);
        let base = match self.whole {
            true => {
                let read = config::load(&self.base.source, &self.environment);
                Arc::new(read.map_err(|errors| errors.iter().map(problem).collect::<Vec<_>>())?)
            }
            false => Arc::clone(&self.base),
        };
        let mut files = look_at(&base);
        files.extend(seen);
        let scan = scan(&base, &dropped(&self.current), &self.settled);
        let (config, refused, acceptance) = with_dropped(&base, scan);
        let mut plan = config::plan(&self.current, &config);
        if self.whole && config.watch.mode == WatchMode::Off {
            self.add_changed_files(&config, &mut plan);
        }
        Ok(Draft { base, config: Arc::new(config), plan, seen: files, refused, acceptance })
    }

    /// Adds the modules whose files have changed, where nobody watches them.
    fn add_changed_files(&self, config: &Config, plan: &mut Plan) {
        for module in &config.modules {
            let Some(read) = self.read.get(&module.name) else { continue };
            if Fingerprint::at(&module.path).ok().flatten().is_none_or(|now| now == *read) {
                continue;
            }
            let subject = Changed::Child(Member::Module(Arc::clone(&module.name)));
            let keys = vec!["file".to_owned()];
            match plan.changes.iter_mut().find(|change| change.subject == subject) {
                Some(change) if change.action == ChangeAction::Adjust => {
                    change.keys.extend(keys);
                    change.action = ChangeAction::Swap;
                }
                // A path that changes is another file; fresh instances take the file with the next reload.
                Some(_) => {}
                None => plan.changes.push(Change { subject, action: ChangeAction::Swap, keys }),
            }
        }
    }
}

/// One problem with its cause and its hint, in one text.
fn problem(error: &config::ConfigError) -> String {
    let cause = error.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// The configuration with the modules of the drop-in directory after its own.
pub(super) fn with_dropped(base: &Config, scan: Scan) -> (Config, Vec<RefusedFile>, Option<Acceptance>) {
    let Scan { modules, refused, acceptance } = scan;
    let mut config = base.clone();
    config.modules.extend(modules);
    (config, refused, acceptance)
}

/// The modules of a configuration that were dropped.
fn dropped(config: &Config) -> Vec<Module> {
    config.modules.iter().filter(|module| module.declared == Declared::Dropped).cloned().collect()
}

/// The states of a configuration's files.
pub(super) fn look_at(config: &Config) -> HashMap<PathBuf, Option<Fingerprint>> {
    let look = |file: &PathBuf| (file.clone(), Fingerprint::at(file).ok().flatten());
    config.files.iter().map(look).collect()
}
