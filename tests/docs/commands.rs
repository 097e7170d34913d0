//! Commands in documents with their output: run as they stand, against the quick start, in the order of the page.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::repository::{blocks, root};

/// How long the daemon may take to open its socket on a machine that is busy with other tests.
const START: Duration = Duration::from_secs(60);

/// A daemon that runs the quick start in a directory of its own, as if nothing had run before.
struct QuickStart {
    dir: TempDir,
    daemon: Child,
}

impl QuickStart {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("examples/quickstart");
        fs::create_dir_all(&folder).unwrap();
        let from = root().join("examples/quickstart");
        fs::copy(from.join("wapcd.toml"), folder.join("wapcd.toml")).unwrap();
        for guest in ["greeter", "counter", "relay", "shout"] {
            fs::create_dir(folder.join(guest)).unwrap();
            let file = format!("{guest}/{guest}.wasm");
            fs::copy(from.join(&file), folder.join(&file)).unwrap();
        }
        // What only single calls without the daemon read.
        symlink(root().join("tests"), dir.path().join("tests")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wapcd"));
        command.args(["run", "--config", "examples/quickstart/wapcd.toml"]).current_dir(dir.path());
        let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut started = Self { dir, daemon };
        started.wait();
        started
    }

    fn wait(&mut self) {
        let socket = self.dir.path().join("examples/quickstart/run/wapcd.sock");
        let deadline = Instant::now() + START;
        while UnixStream::connect(&socket).is_err() {
            assert!(self.daemon.try_wait().unwrap().is_none(), "the daemon ended");
            assert!(Instant::now() < deadline, "the daemon did not open {}", socket.display());
            #[allow(clippy::disallowed_methods, reason = "a pause between two looks, in a test's own thread")]
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What a person sees in a terminal after one command line.
    fn run(&self, line: &str) -> String {
        let line = line.replace("target/debug/wapcctl", env!("CARGO_BIN_EXE_wapcctl"));
        let line = line.replace("target/debug/wapcd", env!("CARGO_BIN_EXE_wapcd"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 2>&1; {line}")]).current_dir(self.dir.path()).stdin(Stdio::null());
        let socket = self.dir.path().join("examples/quickstart/run/wapcd.sock");
        let output = shell.env("WAPCD_SOCKET", socket).output().unwrap();
        let mut seen = String::from_utf8(output.stdout).unwrap();
        // On a terminal the command ends the last line itself.
        if !seen.is_empty() && !seen.ends_with('\n') {
            seen.push('\n');
        }
        seen
    }
}

impl Drop for QuickStart {
    fn drop(&mut self) {
        // One that has ended is what is wanted.
        self.daemon.kill().unwrap_or_default();
        self.daemon.wait().map(drop).unwrap_or_default();
    }
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

#[test]
fn commands_print_what_the_documents_show() {
    for document in ["README.md", "docs/guests.md"] {
        let quick_start = QuickStart::start();
        let blocks = blocks(Path::new(document), "console");
        let sessions: Vec<_> = blocks.iter().flat_map(|block| sessions(block)).collect();
        assert!(sessions.len() >= 3, "{document}: only {} commands were found", sessions.len());
        for (line, shown) in sessions {
            assert_eq!(quick_start.run(&line), shown, "{document}: {line}");
        }
    }
}
