//! wrk as a load, and what it says when it is told to end: nothing of it is guessed from the text that people read.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// What each thread of wrk counts, and what it writes at its end. One line a fact: what, number, and for bodies the text.
const SCRIPT: &str = r#"
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args) bodies = {} end
function response(status, headers, body)
  local text = status .. " " .. body:sub(1, 40)
  bodies[text] = (bodies[text] or 0) + 1
end
function done(summary, latency, requests)
  for name, count in pairs(summary.errors) do print("fact " .. name .. " " .. count) end
  for _, thread in ipairs(threads) do
    for text, count in pairs(thread:get("bodies")) do print("body " .. count .. " " .. text) end
  end
end
"#;

/// Longer than any test; each ends it when it has seen enough.
const DURATION: &str = "120s";

/// wrk at work.
pub(crate) struct Wrk {
    child: Child,
    _script: NamedTempFile,
}

/// What wrk counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Failures by what failed: `connect`, `read`, `write`, `timeout`, and `status` for answers over 399.
    pub(crate) failed: BTreeMap<String, u64>,
    /// How often each answer came: status and text.
    pub(crate) answers: BTreeMap<String, u64>,
}

impl Wrk {
    /// Asks for that URL over so many connections.
    pub(crate) fn start(url: &str, connections: usize) -> Self {
        let mut script = NamedTempFile::with_suffix(".lua").unwrap();
        script.write_all(SCRIPT.as_bytes()).unwrap();
        let child = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "20s", "--duration", DURATION])
            .args(["--connections", &connections.to_string(), "--script"])
            .arg(script.path())
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot run wrk, which scripts/servers installs: {error}"));
        Self { child, _script: script }
    }

    /// Ends it, as somebody at a terminal does.
    pub(crate) fn end(mut self) -> Said {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "wrk ended by itself: {ended:?}");
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let mut said = Said::default();
        for line in text.lines() {
            match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
                ["fact", name, count] => {
                    *said.failed.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap()
                }
                ["body", count, answer] => {
                    *said.answers.entry(answer.to_owned()).or_default() += count.parse::<u64>().unwrap();
                }
                _ => {}
            }
        }
        assert_eq!(said.failed.len(), 5, "wrk says something else than it should: {text}");
        said
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Said {
    /// Everything that was asked was answered, and only with these answers; how often.
    pub(crate) fn only(&self, answers: &[&str]) -> u64 {
        let failed: Vec<_> = self.failed.iter().filter(|(_, count)| **count > 0).collect();
        assert!(failed.is_empty(), "{failed:?} of {:?}", self.answers);
        let others: Vec<_> = self.answers.iter().filter(|(answer, _)| !answers.contains(&answer.trim_end())).collect();
        assert!(others.is_empty(), "{others:?} of {:?}", self.answers);
        self.answers.values().sum()
    }
}
