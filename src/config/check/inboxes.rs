//! Inboxes: each belongs to one trigger, and holds nothing that the daemon itself reads or keeps. Whatever lies in an inbox is
//! moved away, and whoever may drop files there would decide what the daemon runs.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{place, without_detours};
use crate::config::{
    error::ConfigErrorKind,
    model::{Binding, DropIn, FilesSettings, SWAPS_DIRECTORY, Trigger, TriggerSettings},
    reader::Problem,
    sections::{module::WrittenModule, triggers::WrittenTrigger},
};

/// What the daemon reads and keeps, as far as it is configured.
pub(in crate::config) struct Kept<'c> {
    /// The configuration's own file.
    pub(in crate::config) source: &'c Path,
    /// Where it keeps code and data.
    pub(in crate::config) state_dir: &'c Path,
    /// Where it keeps compiled code.
    pub(in crate::config) code_dir: &'c Path,
    /// Where its sockets are.
    pub(in crate::config) runtime_dir: &'c Path,
    /// Modules, whose files are read.
    pub(in crate::config) modules: &'c [WrittenModule<'c>],
    /// Bindings, which may have databases.
    pub(in crate::config) bindings: &'c [Binding],
    /// The directory of modules.
    pub(in crate::config) drop_in: Option<&'c DropIn>,
}

impl Kept<'_> {
    /// Paths that must not lie in an inbox, with what they are.
    fn paths(&self) -> HashMap<PathBuf, &'static str> {
        let modules = self.modules.iter().map(|module| (&*module.module.path, "the file of a module"));
        let bindings =
            self.bindings.iter().filter_map(|binding| place(&binding.settings)).map(|(what, path)| match what {
                "database" => (path, "the database of a binding"),
                _ => (path, "the directory of a binding"),
            });
        let own = [(self.source, "the configuration"), (self.runtime_dir, "the runtime directory")];
        let all = modules.chain(bindings).chain(own).map(|(path, what)| (without_detours(path), what));
        all.chain(self.directories()).collect()
    }

    /// Directories in which no inbox may lie, with what they are.
    fn directories(&self) -> impl Iterator<Item = (PathBuf, &'static str)> {
        let code = [self.code_dir.to_owned(), self.state_dir.join(SWAPS_DIRECTORY)]
            .map(|path| (path, "the code that the daemon keeps"));
        let drop_in = self.drop_in.map(|drop_in| (drop_in.dir.clone(), "the drop-in directory"));
        code.into_iter().chain(drop_in).map(|(path, what)| (without_detours(&path), what))
    }
}

/// Checks where the inboxes are. Links of the file system are not followed: nothing is read here.
pub(in crate::config) fn inboxes(written: &[WrittenTrigger<'_>], kept: &Kept<'_>) {
    let mut inboxes: HashMap<PathBuf, &WrittenTrigger<'_>> = HashMap::new();
    let all: Vec<_> =
        written.iter().filter_map(|trigger| Some((without_detours(&settings(trigger)?.dir), trigger))).collect();
    if all.is_empty() {
        return;
    }
    let directories: HashMap<_, _> = kept.directories().collect();
    for (dir, trigger) in &all {
        if let Some(first) = inboxes.insert(dir.clone(), trigger) {
            trigger.named.problem_below("dir", shared(dir, first.named.name, ""));
            inboxes.insert(dir.clone(), first);
        }
        if let Some(what) = dir.ancestors().find_map(|above| directories.get(above)) {
            trigger.named.problem_below("dir", conflict(dir, &format!("which is in {what}")));
        }
    }
    for (dir, trigger) in &all {
        if let Some(outer) = dir.ancestors().skip(1).find_map(|above| inboxes.get(above)) {
            trigger.named.problem_below("dir", shared(dir, outer.named.name, ", in whose inbox it is"));
        }
    }
    for (path, what) in kept.paths() {
        let Some((dir, trigger)) = path.ancestors().find_map(|above| inboxes.get_key_value(above)) else { continue };
        // An inbox in one of these directories was reported already.
        if !directories.contains_key(dir) {
            trigger.named.problem_below("dir", conflict(dir, &format!("which holds {what}, `{}`", path.display())));
        }
    }
}

fn settings<'t>(written: &'t WrittenTrigger<'_>) -> Option<&'t FilesSettings> {
    match &written.trigger {
        Some(Trigger { settings: TriggerSettings::Files(settings), .. }) => Some(settings),
        _ => None,
    }
}

fn shared(dir: &Path, first: &str, how: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Duplicate,
        found: format!("the directory `{}`, which already belongs to the trigger `{first}`{how}", dir.display()),
        expected: "one of its own for every trigger".to_owned(),
        hint: None,
    }
}

fn conflict(dir: &Path, why: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("the directory `{}`, {why}", dir.display()),
        expected: "a directory apart from what the daemon reads and keeps".to_owned(),
        hint: Some("every file in an inbox is taken for a payload and moved away".to_owned()),
    }
}
