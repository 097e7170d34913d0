//! The daemon that is measured: the real binary in a directory of its own, and connections to its socket.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Failure;

/// Longer than anything takes that is measured here.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the log of a daemon goes.
const LOG: &str = "log";

/// An event, as far as it is needed here. Nothing of the library is used, so that these measures are built soon.
#[derive(Deserialize)]
pub(crate) struct Event {
    pub(crate) seq: u64,
    /// When, in seconds since the Unix epoch.
    pub(crate) at: f64,
    /// Whose, as `{"module": "orders"}`.
    subject: Value,
    /// What happened, as `swap_began`.
    pub(crate) event: String,
    pub(crate) sha256: Option<String>,
    /// The state that follows.
    to: Option<String>,
    why: Option<String>,
}

impl Event {
    /// Whether it says that a module runs.
    pub(crate) fn runs(&self) -> bool {
        self.subject.get("module").is_some() && self.to.as_deref() == Some("running")
    }
}

/// A directory for one daemon after the other.
pub(crate) struct Home(TempDir);

impl Home {
    /// A directory with this configuration, whose `[daemon]` table comes first.
    pub(crate) fn new(daemon: &str, modules: &str) -> Result<Self, Failure> {
        let home = Self(tempfile::tempdir()?);
        let toml = format!("[daemon]\nstate_dir = \"state\"\nruntime_dir = \"run\"\n{daemon}\n{modules}");
        fs::write(home.path("wapcd.toml"), toml)?;
        Ok(home)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file there as deployments should: by a rename. Returns when that was.
    pub(crate) fn place(&self, name: &str, bytes: &[u8]) -> Result<SystemTime, Failure> {
        let temporary = self.path(&format!(".{name}.tmp"));
        fs::write(&temporary, bytes)?;
        let renamed = SystemTime::now();
        fs::rename(temporary, self.path(name))?;
        Ok(renamed)
    }

    /// Starts the daemon, and waits until its modules run.
    pub(crate) fn start(&self) -> Result<Daemon, Failure> {
        let log = File::create(self.path(LOG))?;
        let spawned = SystemTime::now();
        let child = Command::new(env!("CARGO_BIN_EXE_wapcd"))
            .args(["run", "--config"])
            .arg(self.path("wapcd.toml"))
            // What the split of a swap's time is made of.
            .env("WAPCD_LOG", "warn,wapcd=info,wapcd::supervisor::loader=debug")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let socket = self.path("run/wapcd.sock");
        let mut daemon = Daemon { child, socket, log: self.path(LOG), spawned };
        daemon.wait_until_running()?;
        Ok(daemon)
    }
}

/// A running daemon, killed where it was not stopped.
pub(crate) struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
    spawned: SystemTime,
}

impl Daemon {
    /// When its process was started.
    pub(crate) fn spawned(&self) -> SystemTime {
        self.spawned
    }

    pub(crate) fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.socket)
    }

    fn wait_until_running(&mut self) -> Result<(), Failure> {
        while !self.connect().is_ok_and(|mut connection| connection.all_run().unwrap_or_default()) {
            if self.child.try_wait()?.is_some() || self.spawned.elapsed()? > PATIENCE {
                return Err(format!("the daemon did not start:\n{}", fs::read_to_string(&self.log)?).into());
            }
            pause(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Number of the last event.
    pub(crate) fn last_event(&self) -> Result<u64, Failure> {
        Ok(self.events(0)?.last().map_or(0, |event| event.seq))
    }

    /// The events after that number.
    pub(crate) fn events(&self, after: u64) -> Result<Vec<Event>, Failure> {
        let answer = self.connect()?.ask("GET", &format!("/v1/events?after={after}"), b"")?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Events as they come, beginning after that number.
    pub(crate) fn follow(&self, after: u64) -> Result<Follower, Failure> {
        let mut connection = self.connect()?;
        connection.send("GET", &format!("/v1/events?follow=true&after={after}"), b"")?;
        Ok(Follower(connection.0))
    }

    /// How long reading and compiling of this code took, as the last line of the log about it tells.
    pub(crate) fn load_times(&self, sha256: &str) -> Result<(Duration, Duration), Failure> {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            let log = fs::read_to_string(&self.log)?;
            let of_code = |line: &&str| line.contains("code loaded") && line.contains(sha256);
            if let Some(line) = log.lines().rev().find(of_code) {
                let line: Value = serde_json::from_str(line)?;
                let micros = |field: &str| line.get(field).and_then(Value::as_u64).map(Duration::from_micros);
                let times = micros("read_us").zip(micros("compile_us"));
                return times.ok_or_else(|| format!("no times in {line}").into());
            }
            // It is written by a thread of its own.
            pause(Duration::from_millis(1));
        }
        Err(format!("the log does not tell of {sha256}").into())
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        let id = Pid::from_raw(self.child.id().try_into()?).ok_or("the daemon has no id")?;
        kill_process(id, Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the daemon ended with {status}").into()) }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One connection that stays open from request to request.
pub(crate) struct Connection(BufReader<UnixStream>);

/// What came back.
pub(crate) struct Answer {
    pub(crate) generation: Option<u64>,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Calls a guest that answers with its payload.
    pub(crate) fn echo(&mut self, module: &str) -> Result<u64, Failure> {
        let answer = self.ask("POST", &format!("/v1/modules/{module}/call/echo"), b"hello")?;
        if answer.body != b"hello" {
            return Err(format!("an echo answered {:?}", String::from_utf8_lossy(&answer.body)).into());
        }
        answer.generation.ok_or_else(|| "a call without a generation".into())
    }

    /// Makes a request, which must succeed.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.send(method, path, body)?;
        let (mut status, mut generation, mut length) = (String::new(), None, 0);
        self.0.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the daemon closed the connection".into());
            }
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.parse()?,
                Some(("wapcd-generation", value)) => generation = Some(value.parse()?),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        if status.split(' ').nth(1) != Some("200") {
            return Err(format!("{path}: {}{}", status, String::from_utf8_lossy(&body)).into());
        }
        Ok(Answer { generation, body })
    }

    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(), Failure> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: wapcd\r\nContent-Length: {length}\r\n\r\n");
        Ok(self.0.get_mut().write_all(&[head.as_bytes(), body].concat())?)
    }

    fn all_run(&mut self) -> Result<bool, Failure> {
        let modules: Vec<Value> = serde_json::from_slice(&self.ask("GET", "/v1/modules", b"")?.body)?;
        Ok(modules.iter().all(|module| module.get("state").is_some_and(|state| state == "running")))
    }
}

/// Events as they come.
pub(crate) struct Follower(BufReader<UnixStream>);

impl Follower {
    /// Waits for the end of a swap, which must succeed.
    pub(crate) fn swapped(&mut self) -> Result<(), Failure> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the daemon ended the stream of events".into());
            }
            if !line.starts_with('{') {
                continue;
            }
            let event: Event = serde_json::from_str(&line)?;
            match event.event.as_str() {
                "swapped" => return Ok(()),
                "swap_failed" => return Err(format!("a swap failed: {}", event.why.unwrap_or_default()).into()),
                _ => {}
            }
        }
    }
}

/// Does nothing for so long.
#[allow(clippy::disallowed_methods, reason = "a thread of the benchmark's own, which no guest shares")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}
