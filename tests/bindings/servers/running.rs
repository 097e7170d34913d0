//! One server as a process: its directory, its log, and everything that can happen to it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{ports, programs::SETPRIV};

/// How long a server may take to start or to end. Only a failure takes so long.
const SOON: Duration = Duration::from_secs(60);

/// How often a start is tried: another process may take the port in the moment before.
const TRIES: usize = 3;

/// How a server is started; asked anew for each start.
pub(super) trait Recipe {
    /// The command, without what [`Running`] adds to each, for this directory and port.
    fn command(&self, directory: &Path, port: u16) -> Command;

    /// What its log has when it takes connections.
    fn ready(&self) -> &'static str;

    /// The user that it runs as, where that is another than the one of the test.
    fn user(&self) -> Option<&'static str> {
        None
    }

    /// Is called after each start.
    fn started(&self, _port: u16) {}
}

/// A server that runs, was killed or is paused; ended when this is dropped.
pub(crate) struct Running {
    recipe: Box<dyn Recipe>,
    directory: TempDir,
    port: u16,
    child: Child,
    starts: usize,
}

impl Running {
    /// Starts a server in a directory that `prepare` fills.
    pub(super) fn start(recipe: impl Recipe + 'static, prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let mut failures = Vec::new();
        for tried in 0..TRIES {
            let port = ports::free();
            match launch(&recipe, directory.path(), port, tried) {
                Ok(child) => return Self { recipe: Box::new(recipe), directory, port, child, starts: tried + 1 },
                Err(why) => failures.push(why),
            }
        }
        panic!("the server does not start:\n{}", failures.join("\n"));
    }

    /// Its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends it and its children in the middle of everything, and waits until they are gone.
    pub(crate) fn kill(&mut self) {
        let mut all = family(self.child.id());
        // Nobody has children while they are looked for, the first least of all.
        signal(&all, Signal::STOP);
        all = family(self.child.id());
        signal(&all, Signal::KILL);
        self.child.wait().unwrap();
        let start = Instant::now();
        while all.iter().any(|process| lives(*process)) {
            assert!(start.elapsed() < SOON, "a child of the server outlives SIGKILL");
            pause();
        }
    }

    /// Stops it in its tracks: connections stay open, and nothing answers.
    pub(crate) fn pause(&self) {
        signal(&[self.child.id()], Signal::STOP);
        // Now it makes no further children.
        signal(&family(self.child.id()), Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        let mut all = family(self.child.id());
        all.reverse();
        signal(&all, Signal::CONT);
    }

    /// Starts it again on the same port and in the same directory; killed before, where it still runs.
    pub(crate) fn restart(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.kill();
        }
        let child = launch(&*self.recipe, self.directory.path(), self.port, self.starts);
        self.starts += 1;
        self.child = child.unwrap_or_else(|why| panic!("the server does not start again:\n{why}"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

/// Starts the process and waits until it is ready; else the reason, with its log.
fn launch(recipe: &dyn Recipe, directory: &Path, port: u16, number: usize) -> Result<Child, String> {
    let log = directory.join(format!("log.{number}"));
    let output = File::create(&log).unwrap();
    let mut command = guarded(&recipe.command(directory, port), recipe.user());
    command.current_dir(directory).stdin(Stdio::null()).stderr(output.try_clone().unwrap()).stdout(output);
    let mut child = spawn(command);
    let start = Instant::now();
    let failed = loop {
        let text = read(&log);
        if text.contains(recipe.ready()) {
            recipe.started(port);
            return Ok(child);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break format!("it ended with {status}:\n{}", read(&log));
        }
        if start.elapsed() > SOON {
            break format!("it is not ready after {} s:\n{text}", SOON.as_secs());
        }
        pause();
    };
    signal(&family(child.id()), Signal::KILL);
    child.wait().unwrap();
    Err(failed)
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned()
}

/// The command, so that it ends with the test's process and runs as that user.
pub(super) fn guarded(command: &Command, user: Option<&str>) -> Command {
    let mut guarded = Command::new(SETPRIV.find());
    if let Some(user) = user {
        guarded.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
    }
    guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    guarded
}

/// A command that is to be started, and where the child goes.
type Order = (Command, mpsc::SyncSender<std::io::Result<Child>>);

/// Starts it from a thread that lasts as long as the process: to the system the parent of a child is the thread that started
/// it, and tests end before the servers that several of them share.
fn spawn(command: Command) -> Child {
    static NURSERY: OnceLock<mpsc::SyncSender<Order>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, ordered) = mpsc::sync_channel::<Order>(1);
        std::thread::spawn(move || {
            for (mut command, reply) in ordered {
                reply.send(command.spawn()).unwrap();
            }
        });
        orders
    });
    let name = PathBuf::from(command.get_program());
    let (reply, child) = mpsc::sync_channel(1);
    nursery.send((command, reply)).unwrap();
    child.recv().unwrap().unwrap_or_else(|error| panic!("cannot start {}: {error}", name.display()))
}

/// A process and all below it, parents first.
fn family(process: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.1)))
        .collect();
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        family.extend(all.iter().filter(|(_, its)| *its == parent).map(|(process, _)| *process));
        next += 1;
    }
    family
}

/// Whether the process is there and has not ended.
fn lives(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// A process's state and parent.
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may have anything in it, also parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn signal(processes: &[u32], signal: Signal) {
    for process in processes {
        let process = Pid::from_raw(i32::try_from(*process).unwrap()).unwrap();
        // It may have ended meanwhile.
        kill_process(process, signal).ok();
    }
}

/// The pause between two looks.
pub(super) fn pause() {
    #[allow(clippy::disallowed_methods, reason = "a test's own thread, which no guest shares")]
    std::thread::sleep(Duration::from_millis(10));
}
