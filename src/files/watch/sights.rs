//! Everything that is looked at, and the looking. Belongs to the watching thread.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::{
    Notice, Target, TargetKind,
    inbox::Letters,
    notices::Notices,
    route::Route,
    settle::{Sight, Verdict},
    target::{Directory, File, Wanted},
};
use crate::{
    config::{Watch, WatchMode},
    files::{fingerprint::Fingerprint, read::is_being_written},
};

/// How often everything is looked at in spite of the kernel's notices. What a notice missed waits for this long at most;
/// a thousand files take a few milliseconds each time.
const SCAN: Duration = Duration::from_secs(30);

/// How often a look is repeated at once because it found other directories on its way. Each time goes one directory
/// deeper at least; more than this are made by somebody who still goes on, of which the kernel tells.
const ROUNDS: usize = 8;

/// The files and directories, what was seen of them, and when to look again.
pub(super) struct Sights {
    settings: Watch,
    notices: Notices,
    files: HashMap<PathBuf, File>,
    directories: HashMap<PathBuf, Directory>,
    /// Who depends on a name in a directory.
    interests: HashMap<PathBuf, Vec<Interest>>,
    /// Whether ways have changed since the watches were made.
    stale: bool,
    next_scan: Instant,
    next_poll: Instant,
}

/// Who depends on a name.
#[derive(Debug)]
enum Interest {
    File(PathBuf),
    Directory(PathBuf),
}

/// What is to be looked at.
#[derive(Debug, Default)]
struct Looks {
    /// With the hint that it was renamed into place.
    files: BTreeMap<PathBuf, bool>,
    /// With all that is in them.
    directories: BTreeSet<PathBuf>,
    /// Entries of inboxes, which are told of and not looked at.
    stirred: BTreeSet<PathBuf>,
}

impl Looks {
    fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty() && self.stirred.is_empty()
    }

    fn file(&mut self, path: &Path, renamed: bool) {
        *self.files.entry(path.to_owned()).or_default() |= renamed;
    }
}

impl Sights {
    /// Nothing is looked at yet.
    pub(super) fn new(settings: Watch, notices: Notices, now: Instant) -> Self {
        Self {
            settings,
            notices,
            files: HashMap::new(),
            directories: HashMap::new(),
            interests: HashMap::new(),
            stale: false,
            next_scan: now,
            next_poll: now,
        }
    }

    /// When to look again without being told; `None`: never.
    pub(super) fn next(&self) -> Option<Instant> {
        if self.settings.mode == WatchMode::Off || (self.files.is_empty() && self.directories.is_empty()) {
            return None;
        }
        let scan = (self.settings.mode == WatchMode::Auto).then_some(self.next_scan);
        let poll = self.notices.polls().then_some(self.next_poll);
        self.files.values().filter_map(|file| file.due).chain(scan).chain(poll).min()
    }

    /// Does what the letters and the time ask for, and gives what there is to tell.
    pub(super) fn turn(&mut self, letters: Letters, now: Instant) -> Vec<Notice> {
        let Letters { targets, settings, asked, noticed, everything, end: _ } = letters;
        let mut all = everything || targets.is_some() || settings.is_some();
        if let Some(settings) = settings {
            self.settings = settings;
        }
        if let Some(targets) = targets {
            self.set(targets);
        }
        if self.settings.mode == WatchMode::Off {
            self.close();
            return Vec::new();
        }
        for path in asked {
            if let Some(file) = self.files.get_mut(&path) {
                file.settling.ask(now);
                file.due = Some(now + self.settings.settle);
            }
        }
        let mut looks = Looks::default();
        for (path, renamed) in noticed {
            self.find(&path, renamed, &mut looks);
        }
        all |= self.settings.mode == WatchMode::Auto && self.next_scan <= now;
        if all {
            self.next_scan = now + SCAN;
            self.renew();
            self.add(&mut looks, |_| true);
        } else if self.notices.polls() && self.next_poll <= now {
            let polled: BTreeSet<_> = self.wanted().into_iter().filter(|path| self.notices.is_polled(path)).collect();
            self.add(&mut looks, |directory| polled.contains(directory));
        }
        if self.next_poll <= now {
            self.next_poll = now + self.settings.poll;
        }
        for (path, _) in self.files.iter().filter(|(_, file)| file.due.is_some_and(|due| due <= now)) {
            looks.file(path, false);
        }
        self.look(looks, now)
    }

    /// Replaces what is looked at; what stays keeps what was seen of it.
    fn set(&mut self, targets: Vec<Target>) {
        let (mut files, mut directories) = (HashMap::new(), HashMap::new());
        for Target { path, kind } in targets {
            match kind {
                TargetKind::File { seen } => {
                    let known = self.files.remove(&path).map(|file| File { is_target: true, ..file });
                    let file = known.unwrap_or_else(|| File::new(&path, true, seen));
                    files.entry(path).or_insert(file);
                }
                TargetKind::Directory { extensions } => {
                    let directory = Directory::new(&path, Wanted::Endings(extensions));
                    directories.insert(path, directory);
                }
                TargetKind::Inbox => {
                    let directory = Directory::new(&path, Wanted::All);
                    directories.insert(path, directory);
                }
            }
        }
        // Entries of directories that stay, also where they were targets of their own before.
        for (path, file) in self.files.drain() {
            let directory = path.parent().and_then(|parent| directories.get(parent));
            let directory = directory.filter(|directory| !directory.is_inbox());
            if directory.zip(path.file_name()).is_some_and(|(directory, name)| directory.matches(name)) {
                files.insert(path, File { is_target: false, ..file });
            }
        }
        (self.files, self.directories) = (files, directories);
    }

    /// Looks at nothing, and forgets what waits.
    fn close(&mut self) {
        self.notices.poll_only(BTreeSet::new());
        for file in self.files.values_mut() {
            file.settling.rest();
            file.due = None;
        }
    }

    /// Every directory in which a name decides.
    fn wanted(&self) -> BTreeSet<PathBuf> {
        let routes = self.files.values().map(|file| &file.route).chain(self.directories.values().map(|it| &it.route));
        let steps = routes.flat_map(|route| &route.steps).map(|step| step.directory.clone());
        steps.chain(self.directories.values().filter_map(|directory| directory.route.end.clone())).collect()
    }

    /// Adds what depends on directories that match.
    fn add(&self, looks: &mut Looks, matches: impl Fn(&Path) -> bool) {
        let passes = |route: &Route| route.steps.iter().any(|step| matches(&step.directory));
        for (path, _) in self.files.iter().filter(|(_, file)| passes(&file.route)) {
            looks.file(path, false);
        }
        for (path, directory) in &self.directories {
            if passes(&directory.route) || directory.route.end.as_deref().is_some_and(&matches) {
                looks.directories.insert(path.clone());
            }
        }
    }

    /// Adds what a notice of this path is about.
    fn find(&mut self, path: &Path, renamed: bool, looks: &mut Looks) {
        let (paths, directories) = self.notices.meant(path);
        if !directories.is_empty() {
            self.stale = true;
            self.add(looks, |directory| directories.iter().any(|changed| changed == directory));
        }
        for path in paths {
            for interest in self.interests.get(&path).into_iter().flatten() {
                match interest {
                    Interest::File(file) => looks.file(file, renamed),
                    Interest::Directory(directory) => {
                        looks.directories.insert(directory.clone());
                    }
                }
            }
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            for (target, directory) in &self.directories {
                if directory.route.end.as_deref() == Some(parent) && directory.matches(name) {
                    let entry = target.join(name);
                    if directory.is_inbox() {
                        looks.stirred.insert(entry);
                        continue;
                    }
                    looks.file(&entry, renamed);
                    self.files.entry(entry).or_insert_with_key(|entry| {
                        self.stale = true;
                        File::new(entry, false, None)
                    });
                }
            }
        }
    }

    /// Looks, and again where directories are on the way that were not watched when it was looked at.
    fn look(&mut self, mut looks: Looks, now: Instant) -> Vec<Notice> {
        let mut reports = Vec::new();
        for _ in 0..ROUNDS {
            self.look_once(looks, now, &mut reports);
            looks = Looks::default();
            if self.stale {
                let begun = self.rewatch();
                self.add(&mut looks, |directory| begun.contains(directory));
            }
            if looks.is_empty() {
                break;
            }
        }
        reports
    }

    fn look_once(&mut self, mut looks: Looks, now: Instant, reports: &mut Vec<Notice>) {
        for path in &looks.directories {
            let Some(directory) = self.directories.get_mut(path) else { continue };
            let route = Route::trace(path);
            self.stale |= route != directory.route;
            directory.route = route;
            if directory.is_inbox() {
                reports.push(Notice::Stirred { path: path.clone() });
                continue;
            }
            match directory.list(path) {
                Ok(entries) => {
                    directory.said = false;
                    for entry in entries {
                        self.files.entry(entry).or_insert_with_key(|entry| {
                            self.stale = true;
                            File::new(entry, false, None)
                        });
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut directory.said, true) {
                        warn!(directory = %path.display(), %error, "directory cannot be listed: new files in it stay unseen");
                    }
                }
            }
        }
        reports.extend(std::mem::take(&mut looks.stirred).into_iter().map(|path| Notice::Stirred { path }));
        let directories = std::mem::take(&mut looks.directories);
        for path in self.files.keys() {
            if path.parent().is_some_and(|parent| directories.contains(parent)) {
                looks.file(path, false);
            }
        }
        for (path, renamed) in looks.files {
            reports.extend(self.look_at(path, renamed, now));
        }
    }

    /// Looks at one file.
    fn look_at(&mut self, path: PathBuf, renamed: bool, now: Instant) -> Option<Notice> {
        let file = self.files.get_mut(&path)?;
        let route = Route::trace(&path);
        self.stale |= route != file.route;
        file.route = route;
        let state = match Fingerprint::at(&path) {
            Ok(state) => state,
            Err(error) => {
                // Neither there nor gone: what was known still holds.
                debug!(path = %path.display(), %error, "file cannot be looked at");
                file.due = file.due.map(|_| now + self.settings.poll);
                return None;
            }
        };
        let sight = Sight { at: now, file: state, renamed };
        let verdict = file.settling.look(sight, self.settings.settle, || is_being_written(&path));
        file.due = if let Verdict::Wait(until) = verdict { Some(until) } else { None };
        if state.is_none() && !file.is_target && file.settling.is_forgettable() {
            self.files.remove(&path);
            self.stale = true;
        }
        if let Verdict::Report(file) = verdict { Some(Notice::Settled { path, file }) } else { None }
    }

    /// Watches what is wanted now; gives the directories whose watch began.
    fn rewatch(&mut self) -> BTreeSet<PathBuf> {
        self.learn_interests();
        let wanted = self.wanted();
        if self.settings.mode == WatchMode::Auto {
            return self.notices.follow(&wanted);
        }
        self.notices.poll_only(wanted);
        BTreeSet::new()
    }

    /// As `rewatch`, and asks for the watches that there are once more.
    fn renew(&mut self) {
        self.learn_interests();
        let wanted = self.wanted();
        if self.settings.mode == WatchMode::Auto {
            self.notices.renew(&wanted);
        } else {
            self.notices.poll_only(wanted);
        }
    }

    fn learn_interests(&mut self) {
        self.stale = false;
        self.interests.clear();
        for (path, file) in &self.files {
            for step in &file.route.steps {
                let interested = self.interests.entry(step.directory.join(&step.name)).or_default();
                interested.push(Interest::File(path.clone()));
            }
        }
        for (path, directory) in &self.directories {
            for step in &directory.route.steps {
                let interested = self.interests.entry(step.directory.join(&step.name)).or_default();
                interested.push(Interest::Directory(path.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{fs, sync::Arc};

    use super::*;

    const SETTLE: Duration = Duration::from_millis(50);
    const POLL: Duration = Duration::from_secs(2);

    fn sights(mode: WatchMode, now: Instant) -> Sights {
        let settings = Watch { mode, settle: SETTLE, poll: POLL, config: false };
        Sights::new(settings, Notices::new(Arc::default()), now)
    }

    fn targets(path: &Path) -> Letters {
        let target = Target { path: path.to_owned(), kind: TargetKind::File { seen: None } };
        Letters { targets: Some(vec![target]), ..Letters::default() }
    }

    #[test]
    fn an_idle_watcher_wakes_to_scan_or_to_poll_and_for_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        fs::write(&path, "content").unwrap();
        for (mode, rhythm) in [(WatchMode::Auto, SCAN), (WatchMode::Poll, POLL)] {
            let start = Instant::now();
            let mut sights = sights(mode, start);
            assert_eq!(sights.next(), None, "nothing is watched");
            assert_eq!(sights.turn(targets(&path), start), []);
            assert_eq!(sights.next(), Some(start + SETTLE));
            let reports = sights.turn(Letters::default(), start + SETTLE);
            assert_eq!(reports, [Notice::Settled { file: Fingerprint::at(&path).unwrap(), path: path.clone() }]);
            let mut now = start;
            for _ in 0..3 {
                assert_eq!(sights.next(), Some(now + rhythm), "{mode:?}");
                now += rhythm;
                assert_eq!(sights.turn(Letters::default(), now), []);
            }
        }
    }

    #[test]
    fn a_change_of_which_nothing_tells_is_found_by_the_scan() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wasm");
        let start = Instant::now();
        let mut sights = sights(WatchMode::Auto, start);
        assert_eq!(sights.turn(targets(&path), start), []);
        // The inbox of these notices is read by nobody.
        fs::write(&path, "content").unwrap();
        assert_eq!(sights.turn(Letters::default(), start + SCAN), []);
        let reports = sights.turn(Letters::default(), start + SCAN + SETTLE);
        assert_eq!(reports, [Notice::Settled { file: Fingerprint::at(&path).unwrap(), path }]);
    }

    #[test]
    fn nothing_is_ever_due_where_watching_is_off() {
        let dir = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let mut sights = sights(WatchMode::Off, start);
        assert_eq!(sights.turn(targets(&dir.path().join("a.wasm")), start), []);
        assert_eq!(sights.next(), None);
    }
}
