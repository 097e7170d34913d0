//! Commands in documents with their output: run as they stand, against the daemon that the page starts, in the order of
//! the page.

use std::{
    ffi::OsString,
    fs,
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    output::normal,
    ports,
    repository::{blocks, fenced, root, text},
};

/// How long the daemon may take to load its modules on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(180);

/// How long a command that only looks is given to see what the document shows; less than the waits that documents show.
const AGAIN: Duration = Duration::from_secs(3);

/// How often it looks at least, some of the looks of that time: where the machine has other things to do, both the daemon and
/// a look at it take longer.
const LOOKS: usize = 100;

/// The same where a document shows no waits, but code that is compiled before anything is to be seen.
const AGAIN_COMPILED: Duration = Duration::from_secs(30);

/// Where the quick start has its metrics, and where it takes requests.
const ADDRESSES: [&str; 2] = ["127.0.0.1:9464", "127.0.0.1:8080"];

/// The daemon of one folder of `examples/` in a directory of its own, as if nothing had run before.
struct Example {
    name: String,
    dir: TempDir,
    /// What stands in place of [`ADDRESSES`], which something else may have.
    addresses: [String; 2],
    daemon: Child,
}

impl Example {
    /// Runs what the block does before it starts the daemon, and then the daemon.
    fn start(name: &str, before: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let addresses = [(); 2].map(|()| format!("127.0.0.1:{}", ports::free()));
        for example in ["quickstart", "supervision", "swapping"] {
            let (from, to) = (root().join("examples").join(example), dir.path().join("examples").join(example));
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                // What a daemon left there in the checkout is not the example's.
                if !["state", "run", "deploy"].map(OsString::from).contains(&entry.file_name()) {
                    symlink(entry.path(), to.join(entry.file_name())).unwrap();
                }
            }
            let config = to.join("wapcd.toml");
            let text = replaced(&fs::read_to_string(&config).unwrap(), &ADDRESSES, &addresses);
            fs::remove_file(&config).unwrap();
            fs::write(&config, text).unwrap();
        }
        symlink(root().join("tests"), dir.path().join("tests")).unwrap();
        for line in before {
            let done = Command::new("sh").args(["-c", line]).current_dir(dir.path()).status().unwrap();
            assert!(done.success(), "{line}: {done}");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_wapcd"));
        command.args(["run", "--config", &format!("examples/{name}/wapcd.toml")]).current_dir(dir.path());
        let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut started = Self { name: name.to_owned(), dir, addresses, daemon };
        started.wait();
        started
    }

    fn wait(&mut self) {
        let socket = self.dir.path().join(self.socket());
        let deadline = Instant::now() + START;
        while UnixStream::connect(&socket).is_err() || self.run("target/debug/wapcctl status").contains("starting") {
            assert!(self.daemon.try_wait().unwrap().is_none(), "the daemon ended");
            assert!(Instant::now() < deadline, "the daemon did not open {}", socket.display());
            #[allow(clippy::disallowed_methods, reason = "a pause between two looks, in a test's own thread")]
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn socket(&self) -> String {
        format!("examples/{}/run/wapcd.sock", self.name)
    }

    /// What a person sees in a terminal after one command line.
    fn run(&self, line: &str) -> String {
        let line = line.replace("target/debug/wapcctl", env!("CARGO_BIN_EXE_wapcctl"));
        let line = line.replace("target/debug/wapcd", env!("CARGO_BIN_EXE_wapcd"));
        let line = replaced(&line, &ADDRESSES, &self.addresses);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(self.dir.path()).stdin(Stdio::null());
        let output = shell.env("WAPCD_SOCKET", self.dir.path().join(self.socket())).output().unwrap();
        let mut seen = replaced(&String::from_utf8(output.stdout).unwrap(), &self.addresses, &ADDRESSES);
        // On a terminal the command ends the last line itself.
        if !seen.is_empty() && !seen.ends_with('\n') {
            seen.push('\n');
        }
        seen
    }

    /// What the command printed. One that only looks is run again for a while where that is not what is `expected`, as
    /// a person looks again while an instance is being started.
    fn run_until(&self, line: &str, expected: &str) -> String {
        let acting = ["call", "start", "stop", "restart", "swap", "rollback", "reload", "curl", "publish"];
        let acts = line.split_whitespace().any(|word| acting.contains(&word));
        let deadline = Instant::now() + if self.name == "swapping" { AGAIN_COMPILED } else { AGAIN };
        let mut looks = 0;
        loop {
            let seen = normal(&self.run(line));
            looks += 1;
            if seen == expected || acts || (looks >= LOOKS && Instant::now() > deadline) {
                return seen;
            }
        }
    }
}

/// The text with each of some addresses replaced by another.
fn replaced(text: &str, from: &[impl AsRef<str>], to: &[impl AsRef<str>]) -> String {
    from.iter().zip(to).fold(text.to_owned(), |text, (from, to)| text.replace(from.as_ref(), to.as_ref()))
}

impl Drop for Example {
    fn drop(&mut self) {
        // One that has ended is what is wanted.
        self.daemon.kill().unwrap_or_default();
        self.daemon.wait().map(drop).unwrap_or_default();
    }
}

/// The folder of `examples/` whose daemon a block starts.
fn started(block: &str) -> Option<&str> {
    let (_, rest) = block.split_once("run --config examples/")?;
    Some(rest.split_once("/wapcd.toml")?.0)
}

/// Command lines of a block, marked by a prompt, with what they print.
fn sessions(block: &str) -> Vec<(String, String)> {
    let mut sessions: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), sessions.last_mut()) {
            (Some(command), _) => sessions.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("a block begins with output: {line}"),
        }
    }
    sessions
}

/// Runs every command of a document and compares what it prints; returns how many there were.
fn compare(document: &str) -> usize {
    let mut daemon: Option<Example> = None;
    let mut compared = 0;
    for (language, block) in fenced(Path::new(document)) {
        if let Some(name) = started(&block).filter(|_| language == "sh") {
            let before: Vec<&str> = block.lines().take_while(|line| !line.contains("run --config")).collect();
            daemon = Some(Example::start(name, &before));
        }
        if language != "console" {
            continue;
        }
        let daemon = daemon.get_or_insert_with(|| Example::start("quickstart", &[]));
        for (line, shown) in sessions(&block) {
            assert_eq!(daemon.run_until(&line, &normal(&shown)), normal(&shown), "{document}: {line}");
            compared += 1;
        }
    }
    compared
}

#[test]
fn commands_print_what_the_documents_show() {
    for document in ["README.md", "docs/guests.md"] {
        let compared = compare(document);
        assert!(compared >= 3, "{document}: only {compared} commands were found");
    }
}

#[test]
fn what_the_page_about_swapping_shows_is_what_happens() {
    let compared = compare("docs/swapping.md");
    assert!(compared >= 30, "only {compared} commands were found");
}

#[test]
fn the_guest_that_hands_its_state_over_is_the_one_of_the_example() {
    let guest = text("examples/swapping/visits/src/lib.rs");
    let shown = blocks(Path::new("docs/swapping.md"), "rust");
    assert!(!shown.is_empty() && shown.iter().all(|block| guest.contains(block)), "{shown:?}");
}

#[test]
fn what_the_page_about_supervision_shows_is_what_happens() {
    let compared = compare("docs/supervision.md");
    assert!(compared >= 15, "only {compared} commands were found");
}
