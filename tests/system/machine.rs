//! The handle of a box: commands in it, files of it, its service.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use crate::package::Packages;

/// How long anything may take that is waited for; far more than it needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What whoever reads of a failure wants to have seen in the box: who runs, what failed, and what was said.
const TESTIMONY: &[&str] = &[
    "systemctl is-system-running; systemctl --no-pager --no-legend --failed; systemctl --no-pager list-jobs",
    "systemctl --no-pager --full --lines 0 status 'wapcd*'",
    "systemctl show --property Result,ExecMainStatus,NRestarts,StatusText,NFileDescriptorStore wapcd",
    "timeout 20 wapcctl status",
    "df -h / /run /tmp; free -m; cat /proc/loadavg",
    "journalctl --no-pager --lines 60 --output short-precise --unit 'wapcd*'",
    "journalctl --no-pager --lines 40 --output short-precise --priority warning",
];

/// A release of Debian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suite {
    /// Debian 12, with systemd 252.
    Bookworm,
    /// Debian 13, with systemd 257.
    Trixie,
}

impl Suite {
    pub(crate) const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        })
    }
}

/// What a command in a box said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A box, which is thrown away when this is dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    /// Process 1 of it, seen from outside.
    leader: u32,
}

impl Machine {
    /// Boots a box in which the packages lie in `/packages`.
    pub(crate) fn boot(suite: Suite, packages: &Packages) -> Self {
        let name = format!("proof-{suite}");
        let bind = format!("--bind-ro={}:/packages", packages.directory().display());
        script(&["start", &name, &suite.to_string(), &bind]);
        let leader = script(&["pid", &name]).trim().parse().unwrap();
        Self { name, leader }
    }

    /// Installs the package, and waits until the service is ready.
    pub(crate) fn install(&self) {
        self.ok("dpkg --install /packages/wapcd.deb");
        assert_eq!(self.ok("systemctl is-active wapcd"), "active");
    }

    /// Process 1 of the box, seen from outside.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// Runs a line of shell in the box, as root.
    pub(crate) fn run(&self, line: &str) -> Said {
        let Output { status, stdout, stderr } = boxed(&["run", &self.name, "sh", "-c", line]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        Said { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// What a line of shell writes that must succeed.
    pub(crate) fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, Some(0), "{line}\n{said:?}");
        said.stdout
    }

    /// What a line of shell complains of that must fail.
    pub(crate) fn fails(&self, line: &str) -> String {
        let said = self.run(line);
        assert_ne!(said.code, Some(0), "{line}\n{said:?}");
        said.stderr + &said.stdout
    }

    /// Waits until a line of shell succeeds.
    pub(crate) fn until(&self, line: &str) {
        let began = Instant::now();
        while self.run(line).code != Some(0) {
            // With what stood in place of its variables and commands.
            let traced = || self.run(&format!("set -x; {line}"));
            assert!(began.elapsed() < PATIENCE, "not after {PATIENCE:?}: {line}\n{:?}", traced());
            pause(Duration::from_millis(100));
        }
    }

    /// Waits until a property of a unit is this.
    pub(crate) fn until_property(&self, unit: &str, property: &str, expected: &str) {
        let began = Instant::now();
        loop {
            let found = self.property(unit, property);
            if found == expected {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{property} of {unit} is {found:?}, and not {expected:?} after {PATIENCE:?}"
            );
            pause(Duration::from_millis(100));
        }
    }

    /// What is to be seen in the box after something failed.
    pub(crate) fn testimony(&self) -> String {
        let said = |line: &&str| {
            let Said { stdout, stderr, .. } = self.run(line);
            format!("--- {line}\n{stdout}\n{stderr}")
        };
        TESTIMONY.iter().map(said).collect::<Vec<_>>().join("\n")
    }

    /// A file of the box, as it is seen from outside.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(self.leader.to_string()).join(format!("root{path}"))
    }

    /// Writes a file of root's.
    pub(crate) fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Adds to the service, as `systemctl edit` does, and restarts it.
    pub(crate) fn edit(&self, lines: &str) {
        self.put("/etc/systemd/system/wapcd.service.d/proof.conf", format!("[Service]\n{lines}\n"));
        self.ok("systemctl daemon-reload && systemctl restart wapcd");
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.ok(&format!("systemctl show --value --property {property} {unit}"))
    }

    /// The process of the daemon, as it is seen in the box.
    pub(crate) fn main_pid(&self) -> u32 {
        self.property("wapcd", "MainPID").parse().unwrap()
    }

    /// Calls a guest, and takes what it answers.
    pub(crate) fn call(&self, module: &str, operation: &str, payload: &str) -> String {
        self.ok(&format!("wapcctl call {module} {operation} --payload '{payload}'"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The next one of this name would stop it, too.
        drop(boxed(&["stop", &self.name]).status());
    }
}

/// `scripts/box`, which must succeed.
fn script(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = boxed(arguments).output().unwrap();
    assert!(status.success(), "scripts/box {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn boxed(arguments: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/box"));
    command.args(arguments);
    command
}

/// Does nothing for so long.
pub(crate) fn pause(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "a proof's own thread, which no guest shares")]
    std::thread::sleep(time);
}
