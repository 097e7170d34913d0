//! A daemon with a drop-in directory, and files that come and go in it.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use wapcd::supervisor::status::{ModuleState, ModuleStatus};

use crate::{
    guest,
    harness::{Daemon, Home, eventually},
    stage::put,
    told::Told,
};

/// A daemon whose drop-in directory is `dropped` in its state directory.
pub(crate) struct Drops {
    pub(crate) daemon: Daemon,
    pub(crate) told: Told,
}

impl Deref for Drops {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

/// A home whose drop-in directory has these keys, with the rest of the configuration.
pub(crate) fn home(keys: &str, rest: &str) -> Home {
    let toml = format!("[watch]\nsettle = \"50ms\"\n[drop_in]\ndir = \"dropped\"\n{keys}{rest}");
    let home = Home::new(&toml);
    fs::DirBuilder::new().mode(0o700).create(home.path().join("state")).unwrap();
    fs::create_dir(home.path().join("state/dropped")).unwrap();
    home
}

impl Drops {
    pub(crate) fn start(keys: &str, rest: &str) -> Self {
        Self::started(home(keys, rest))
    }

    pub(crate) fn started(home: Home) -> Self {
        let daemon = home.start();
        let told = Told::follow(&daemon);
        Self { daemon, told }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home().path().join("state/dropped").join(name)
    }

    /// Puts a file there as one should.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        put(&self.file(name), bytes);
    }

    /// The same in a file that has these permissions and this owner before it is there.
    pub(crate) fn put_as(&self, name: &str, bytes: &[u8], mode: u32, owner: Option<u32>) {
        let beside = self.file(name).with_extension("tmp");
        fs::write(&beside, bytes).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&beside, owner, None).unwrap();
        fs::rename(beside, self.file(name)).unwrap();
    }

    /// The module of that name, where there is one.
    pub(crate) fn find(&self, name: &str) -> Option<ModuleStatus> {
        self.status().modules.into_iter().find(|module| module.name == name)
    }

    /// Waits until a module answers as this build, and is known to run.
    #[track_caller]
    pub(crate) fn wait_for_build(&self, name: &str, build: u32) {
        eventually(&format!("{name} runs build {build}"), || {
            let answer = self.call(name, "build", b"");
            (answer.status, answer.text()) == (200, guest::name(build))
        });
        eventually(&format!("{name} runs"), || {
            let module = self.module(name);
            module.state == ModuleState::Running && !module.instances.is_empty()
        });
    }

    /// Waits until there is no module of that name.
    #[track_caller]
    pub(crate) fn wait_for_end(&self, name: &str) {
        eventually(&format!("{name} is gone"), || self.find(name).is_none());
        let answer = self.call(name, "build", b"");
        assert_eq!((answer.status, answer.kind().as_str()), (404, "no-such-module"), "{}", answer.text());
    }

    /// Why a file is refused, where it is.
    pub(crate) fn refusal(&self, file: &str) -> Option<String> {
        let refused = self.status().drop_in.unwrap().refused;
        refused.into_iter().find(|refused| refused.file == file).map(|refused| refused.why)
    }

    /// Waits until a file is refused for a reason with this in it.
    #[track_caller]
    pub(crate) fn wait_for_refusal(&self, file: &str, why: &str) {
        eventually(&format!("{file} is refused for `{why}`"), || {
            self.refusal(file).is_some_and(|said| said.contains(why))
        });
        self.log_line(&[file, why]);
    }

    /// How many dropped modules run.
    pub(crate) fn running(&self) -> usize {
        let runs = |module: &&ModuleStatus| module.declared == "dropped" && module.state == ModuleState::Running;
        self.status().modules.iter().filter(runs).count()
    }
}

/// Whether files can be given to other users here.
pub(crate) fn may_chown(path: &Path) -> bool {
    std::os::unix::fs::chown(path, Some(4_711), None).is_ok()
}
