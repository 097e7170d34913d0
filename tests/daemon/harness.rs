//! A daemon of a test's own: the real binary in a directory of its own, its socket, its log and its end.

use std::{
    fs,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use wapcd::supervisor::status::{ModuleState, ModuleStatus, ServiceState, Status, TriggerStatus};

use crate::client::Client;

/// How long a daemon may take for anything that should happen soon, where more would show that it waits for something.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long a condition is waited for, on a machine with much else to do. Only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guests of real toolchains and the quick start.
pub(crate) fn guest_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The menu of `menu.wat`, assembled once.
pub(crate) fn menu() -> &'static [u8] {
    static MENU: OnceLock<Vec<u8>> = OnceLock::new();
    MENU.get_or_init(|| wat::parse_str(include_str!("menu.wat")).unwrap())
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        pause();
    }
}

/// The pause between two looks at a condition.
fn pause() {
    pause_for(Duration::from_millis(5));
}

/// Does nothing for so long: between two looks, or where time that passes is what is measured.
pub(crate) fn pause_for(time: Duration) {
    #[allow(clippy::disallowed_methods, reason = "a test's own thread, which no guest shares")]
    std::thread::sleep(time);
}

/// A directory with a configuration and guests, where daemons can be started one after the other.
#[derive(Debug)]
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// A directory with `menu.wasm` and this configuration; `state/` and `run/` lie in it.
    pub(crate) fn new(toml: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        home.write("menu.wasm", menu());
        home.configure(toml);
        home
    }

    pub(crate) fn configure(&self, toml: &str) {
        // Tables of a test may extend the daemon's own, which must then come first and only once.
        let daemon = if toml.contains("[daemon]") { "" } else { "[daemon]\nworkers = 2\n" };
        let toml = format!("{daemon}{toml}");
        self.write(
            "wapcd.toml",
            toml.replacen("[daemon]", "[daemon]\nstate_dir = \"state\"\nruntime_dir = \"run\"", 1),
        );
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("wapcd.toml")
    }

    /// Runs `wapcd` here to its end.
    pub(crate) fn wapcd(&self, arguments: &[&str]) -> Output {
        command(env!("CARGO_BIN_EXE_wapcd"))
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Starts the daemon and returns at once.
    pub(crate) fn spawn(self, log: &str) -> Daemon {
        self.spawn_with(log, &[])
    }

    /// The same, with these variables.
    pub(crate) fn spawn_with(self, log: &str, variables: &[(&str, &str)]) -> Daemon {
        self.spawn_by(log, command(env!("CARGO_BIN_EXE_wapcd")), variables)
    }

    /// The same, by another program that becomes the daemon.
    #[allow(dead_code, reason = "the tests of triggers use it")]
    pub(crate) fn spawn_under(self, log: &str, program: &[&str]) -> Daemon {
        let mut by = command(program[0]);
        by.args(&program[1..]).arg(env!("CARGO_BIN_EXE_wapcd"));
        self.spawn_by(log, by, &[])
    }

    /// The same, by this command, which is the daemon or becomes it.
    pub(crate) fn spawn_by(self, log: &str, mut by: Command, variables: &[(&str, &str)]) -> Daemon {
        let log = self.path().join(log);
        let child = by
            .args(["run", "--config"])
            .arg(self.config())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let client = Client { socket: self.path().join("run/wapcd.sock") };
        Daemon { child: Some(child), client, log, home: Some(self), panics: Vec::new() }
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn start(self) -> Daemon {
        let mut daemon = self.spawn("log");
        daemon.wait_until_ready();
        daemon
    }
}

/// This host under an address that no other test has, so that a port at it is free until a daemon takes it: one that the
/// system gave away may be somebody else's by then.
#[allow(dead_code, reason = "not all programs of tests use it")]
pub(crate) fn own_host() -> String {
    static HOSTS: AtomicU32 = AtomicU32::new(0);
    let (process, host) = (std::process::id(), HOSTS.fetch_add(1, Relaxed));
    format!("127.{}.{}.{}", 1 + process / 250 % 250, 1 + process % 250, 1 + host % 250)
}

/// A command without the settings of whoever runs the tests.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for variable in ["WAPCD_LOG", "WAPCD_SOCKET", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "JOURNAL_STREAM"] {
        command.env_remove(variable);
    }
    for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        command.env_remove(variable);
    }
    // Finding the names in a backtrace holds up a worker, for longer than some tests grant.
    command.env("RUST_BACKTRACE", "0");
    command
}

/// A running daemon. Calls go to it through [`Client`], to which it derefs.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Option<Child>,
    client: Client,
    log: PathBuf,
    home: Option<Home>,
    /// Panics that the test asks for, by a part of their message.
    panics: Vec<&'static str>,
}

impl Daemon {
    pub(crate) fn start(toml: &str) -> Self {
        Home::new(toml).start()
    }

    /// Waits until every module has settled, and every trigger that does not wait for something that may never come.
    pub(crate) fn wait_until_ready(&mut self) {
        eventually("the daemon is ready", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended instead of getting ready: {ended:?}");
            let started = |module: &ModuleStatus| module.state != ModuleState::Starting;
            let at_work =
                |trigger: &TriggerStatus| trigger.state != ServiceState::Starting || !trigger.waiting_for.is_empty();
            self.try_status()
                .is_some_and(|status| status.modules.iter().all(started) && status.triggers.iter().all(at_work))
        });
    }

    pub(crate) fn home(&self) -> &Home {
        self.home.as_ref().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn try_status(&self) -> Option<Status> {
        let response = self.request("GET", "/v1/status", "", b"").ok()?;
        (response.status == 200).then(|| serde_json::from_slice(&response.body).unwrap())
    }

    pub(crate) fn status(&self) -> Status {
        self.try_status().unwrap()
    }

    pub(crate) fn module(&self, name: &str) -> ModuleStatus {
        let response = self.request("GET", &format!("/v1/modules/{name}"), "", b"").unwrap();
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Waits until so many instances of a module take calls: it counts as running from the first on.
    pub(crate) fn wait_for_instances(&self, name: &str, count: usize) {
        eventually("all instances run", || self.module(name).instances.len() == count);
    }

    /// Runs `wapcctl` on this daemon to its end.
    pub(crate) fn wapcctl(&self, arguments: &[&str]) -> Output {
        let mut command = command(env!("CARGO_BIN_EXE_wapcctl"));
        command.arg("--socket").arg(&self.socket).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs `wapcctl`, which must succeed.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        let output = self.wapcctl(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The whole lines of the log so far: of one that is just being written there may be a part.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// The first line of the log that has all of these texts, as JSON; waits for it.
    pub(crate) fn log_line(&self, texts: &[&str]) -> serde_json::Value {
        let find = || self.log().lines().find(|line| texts.iter().all(|text| line.contains(text))).map(str::to_owned);
        eventually(&format!("a log line with {texts:?}"), || find().is_some());
        serde_json::from_str(&find().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut exit = None;
        eventually("the daemon ends", || {
            exit = self.child.as_mut().unwrap().try_wait().unwrap();
            exit.is_some()
        });
        self.child = None;
        exit.unwrap()
    }

    /// The directory of a daemon that has ended.
    #[allow(dead_code, reason = "the tests of the service use it")]
    pub(crate) fn kept_home(mut self) -> Home {
        assert!(self.child.is_none(), "it runs");
        self.home.take().unwrap()
    }

    /// Kills the process as a power cut would, and gives back its directory.
    pub(crate) fn kill(mut self) -> Home {
        self.signal(Signal::KILL);
        self.wait();
        self.home.take().unwrap()
    }

    /// Stops the daemon in order, checks that it leaves nothing but what it should, and gives back its directory.
    pub(crate) fn stop(mut self) -> Home {
        self.end();
        self.home.take().unwrap()
    }

    fn end(&mut self) {
        self.signal(Signal::TERM);
        let exit = self.wait();
        assert_eq!(exit.code(), Some(0), "exit after SIGTERM: {exit:?}");
        assert!(!self.socket.exists(), "the socket is still there");
        let unexpected = self.unexpected_panics();
        assert!(unexpected.is_empty(), "code of the daemon panicked: {unexpected:?}");
    }

    /// Says that the daemon will be made to panic with messages that contain one of these texts.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn expect_panics(&mut self, messages: &[&'static str]) {
        self.panics.extend_from_slice(messages);
    }

    /// Panics in the log that nobody asked for. What panics before there is a log, or past it, is told in lines of its
    /// own: one that says where, and the message on the line after it.
    fn unexpected_panics(&self) -> Vec<String> {
        let log = self.log();
        let mut lines = log.lines().peekable();
        let mut unexpected = Vec::new();
        while let Some(line) = lines.next() {
            let told = match panic_in(line) {
                Some(panic) => panic["panic"].as_str().unwrap_or_default().to_owned(),
                None if line.contains("panicked at") && !line.starts_with('{') => {
                    lines.peek().copied().unwrap_or_default().to_owned()
                }
                None => continue,
            };
            if !self.panics.iter().any(|expected| told.contains(expected)) {
                unexpected.push(format!("{line} {told}"));
            }
        }
        unexpected
    }
}

/// The panic of the daemon's own code that a line of the log tells.
pub(crate) fn panic_in(line: &str) -> Option<serde_json::Value> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    (line["target"] == wapcd::logging::PANIC_TARGET && line["message"] == "panicked").then_some(line)
}

impl Deref for Daemon {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Daemon {
    /// Every daemon that a test leaves behind must still end as it should; the log is shown where the test failed.
    fn drop(&mut self) {
        if self.child.is_some() && !std::thread::panicking() {
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.end()));
            if let Err(panic) = ended {
                self.give_up();
                std::panic::resume_unwind(panic);
            }
        }
        if std::thread::panicking() {
            self.give_up();
        }
    }
}

impl Daemon {
    fn give_up(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
        #[allow(clippy::print_stderr, reason = "the runner shows it where the test failed")]
        {
            eprintln!("end of the daemon's log:\n{}", tail.join("\n"));
        }
    }
}

/// A module of the menu with further keys, which come before any table.
pub(crate) fn module(name: &str, keys: &str) -> String {
    format!("[modules.{name}]\npath = \"menu.wasm\"\n{keys}\n")
}
