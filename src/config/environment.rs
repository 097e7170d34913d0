//! What the process is told from outside, as plain values, and the directories that follow from it. Nothing else in
//! `config` asks the operating system for anything but the text of the file.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
};

use super::model::EngineKind;

/// Where state lives when root runs the daemon by hand; the file hierarchy standard's place for it.
const ROOT_STATE_DIR: &str = "/var/lib/wapcd";
/// Where sockets live when root runs the daemon by hand; emptied at boot, so that no stale socket survives one.
const ROOT_RUNTIME_DIR: &str = "/run/wapcd";
/// The daemon's own directory inside a directory that programs share.
const SUBDIRECTORY: &str = "wapcd";

/// What the outside gives: the directories of systemd and of XDG, the user, the machine's cores, and the command line's engine.
///
/// An empty variable counts as unset, as the XDG specification wants it, and so does a relative path in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `$STATE_DIRECTORY`: set by systemd, several paths separated by `:`.
    pub state_directory: Option<OsString>,
    /// `$CACHE_DIRECTORY`: set by systemd, several paths separated by `:`.
    pub cache_directory: Option<OsString>,
    /// `$RUNTIME_DIRECTORY`: set by systemd, several paths separated by `:`.
    pub runtime_directory: Option<OsString>,
    /// `$CREDENTIALS_DIRECTORY`: set by systemd for `LoadCredential=` and its like.
    pub credentials_directory: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
    /// `$HOME`.
    pub home: Option<OsString>,
    /// The effective user; 0 is root.
    pub uid: u32,
    /// Cores that this process may use.
    pub cores: usize,
    /// The directory against which a relative path of the configuration file itself is meant.
    pub current_dir: PathBuf,
    /// The engine that the command line names: all guests run on it, whatever the configuration says.
    pub engine: Option<EngineKind>,
}

impl Environment {
    /// Reads it from the running process. The command line is for the caller to add.
    #[must_use]
    pub fn from_process() -> Self {
        Self {
            state_directory: env::var_os("STATE_DIRECTORY"),
            cache_directory: env::var_os("CACHE_DIRECTORY"),
            runtime_directory: env::var_os("RUNTIME_DIRECTORY"),
            credentials_directory: env::var_os("CREDENTIALS_DIRECTORY")
                .filter(|directory| !directory.is_empty())
                .map(PathBuf::from),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            xdg_runtime_dir: env::var_os("XDG_RUNTIME_DIR"),
            home: env::var_os("HOME"),
            uid: rustix::process::geteuid().as_raw(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            // Without a current directory no relative path can be opened, so this value is never seen in a result.
            current_dir: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            engine: None,
        }
    }

    /// The directory for databases and other written files when the configuration names none; `None` for a user
    /// who has neither a state directory nor a home.
    #[must_use]
    pub fn default_state_dir(&self) -> Option<PathBuf> {
        first_path(self.state_directory.as_deref())
            .or_else(|| self.is_root().then(|| PathBuf::from(ROOT_STATE_DIR)))
            .or_else(|| Some(first_path(self.xdg_state_home.as_deref())?.join(SUBDIRECTORY)))
            .or_else(|| Some(first_path(self.home.as_deref())?.join(".local/state").join(SUBDIRECTORY)))
    }

    /// The directory for what can be made anew: the service's own, or the state directory where it has none.
    #[must_use]
    pub fn cache_dir(&self, state_dir: &Path) -> PathBuf {
        first_path(self.cache_directory.as_deref()).unwrap_or_else(|| state_dir.to_owned())
    }

    /// The directory for sockets when the configuration names none.
    #[must_use]
    pub fn default_runtime_dir(&self) -> PathBuf {
        first_path(self.runtime_directory.as_deref())
            .or_else(|| self.is_root().then(|| PathBuf::from(ROOT_RUNTIME_DIR)))
            .or_else(|| Some(first_path(self.xdg_runtime_dir.as_deref())?.join(SUBDIRECTORY)))
            .unwrap_or_else(|| PathBuf::from(format!("/tmp/{SUBDIRECTORY}-{}", self.uid)))
    }

    fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// The first absolute path of a list separated by `:`.
fn first_path(value: Option<&OsStr>) -> Option<PathBuf> {
    let first = value?.as_bytes().split(|byte| *byte == b':').next()?;
    let path = Path::new(OsStr::from_bytes(first));
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    fn user() -> Environment {
        Environment { home: Some("/home/ada".into()), uid: 1000, cores: 4, ..Environment::default() }
    }

    fn state(environment: &Environment) -> Option<String> {
        environment.default_state_dir().map(|path| path.to_str().unwrap().to_owned())
    }

    fn runtime(environment: &Environment) -> String {
        environment.default_runtime_dir().to_str().unwrap().to_owned()
    }

    #[test]
    fn root_has_the_directories_of_the_system() {
        let root = Environment { uid: 0, xdg_state_home: Some("/x".into()), ..user() };
        assert_eq!(state(&root).as_deref(), Some("/var/lib/wapcd"));
        assert_eq!(runtime(&root), "/run/wapcd");
    }

    #[test]
    fn systemd_comes_before_everything_and_its_first_path_is_taken() {
        let service = Environment {
            state_directory: Some("/var/lib/one:/var/lib/two".into()),
            runtime_directory: Some("/run/one:/run/two".into()),
            xdg_state_home: Some("/x".into()),
            xdg_runtime_dir: Some("/y".into()),
            ..user()
        };
        assert_eq!(state(&service).as_deref(), Some("/var/lib/one"));
        assert_eq!(runtime(&service), "/run/one");
        assert_eq!(state(&Environment { uid: 0, ..service }).as_deref(), Some("/var/lib/one"));
    }

    #[test]
    fn what_can_be_made_anew_lies_in_the_cache_directory_of_a_service_or_with_the_state() {
        let cache = |environment: &Environment| environment.cache_dir(Path::new("/state"));
        assert_eq!(cache(&user()), Path::new("/state"));
        let service = Environment { cache_directory: Some("/var/cache/one:/var/cache/two".into()), ..user() };
        assert_eq!(cache(&service), Path::new("/var/cache/one"));
        assert_eq!(cache(&Environment { cache_directory: Some("".into()), ..user() }), Path::new("/state"));
    }

    #[test]
    fn a_user_has_the_xdg_directories() {
        let user = Environment {
            xdg_state_home: Some("/home/ada/state".into()),
            xdg_runtime_dir: Some("/run/user/1000".into()),
            ..user()
        };
        assert_eq!(state(&user).as_deref(), Some("/home/ada/state/wapcd"));
        assert_eq!(runtime(&user), "/run/user/1000/wapcd");
    }

    #[test]
    fn a_user_without_xdg_has_a_directory_at_home_and_one_in_tmp() {
        assert_eq!(state(&user()).as_deref(), Some("/home/ada/.local/state/wapcd"));
        assert_eq!(runtime(&user()), "/tmp/wapcd-1000");
    }

    #[test]
    fn empty_and_relative_variables_count_as_unset() {
        let odd = Environment {
            state_directory: Some("".into()),
            runtime_directory: Some("run".into()),
            xdg_state_home: Some("state".into()),
            xdg_runtime_dir: Some("".into()),
            ..user()
        };
        assert_eq!(state(&odd).as_deref(), Some("/home/ada/.local/state/wapcd"));
        assert_eq!(runtime(&odd), "/tmp/wapcd-1000");
    }

    #[test]
    fn a_user_without_a_home_has_no_state_directory() {
        assert_eq!(state(&Environment { home: None, ..user() }), None);
    }

    #[test]
    fn a_process_has_at_least_one_core() {
        assert!(Environment::from_process().cores >= 1);
    }
}
