//! Threads of a daemon that are held from outside: they do nothing until they are let go, whatever they were doing.

use std::fs;

use nix::{
    sys::{
        ptrace,
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

use crate::harness::{Daemon, eventually};

/// Threads that are held until this is dropped, which must be on the thread that made it.
pub(crate) struct Held(Vec<Pid>);

impl Held {
    /// Holds the thread of that name, of which there is one.
    pub(crate) fn thread(daemon: &Daemon, name: &str) -> Self {
        Self::all(&[thread_of(daemon, name)])
    }

    /// Holds the thread of that worker.
    pub(crate) fn worker(daemon: &Daemon, worker: usize) -> Self {
        Self::thread(daemon, &worker_thread(worker))
    }

    /// Holds the threads with these ids.
    pub(crate) fn all(threads: &[i32]) -> Self {
        let mut held = Self(Vec::new());
        for thread in threads {
            let thread = Pid::from_raw(*thread);
            ptrace::seize(thread, ptrace::Options::empty()).unwrap();
            held.0.push(thread);
            ptrace::interrupt(thread).unwrap();
            waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        }
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A thread that is gone needs no release.
        self.0.drain(..).for_each(|thread| ptrace::detach(thread, None).unwrap_or_default());
    }
}

/// The name of a worker's thread.
pub(crate) fn worker_thread(worker: usize) -> String {
    format!("wapcd-worker-{worker}")
}

/// The id of the thread of that name, of which there is one: another that it has just started may have its name for a moment.
pub(crate) fn thread_of(daemon: &Daemon, name: &str) -> i32 {
    let mut found = Vec::new();
    eventually(&format!("there is one thread with the name {name:?}"), || {
        found = threads_of(daemon, |thread| thread == name);
        found.len() == 1
    });
    found[0]
}

/// The ids of the threads whose name is one of those.
pub(crate) fn threads_of(daemon: &Daemon, is_one: impl Fn(&str) -> bool) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().map(|thread| thread.unwrap().path());
    // One that has just ended has no name any more.
    let found = threads.filter(|path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| is_one(comm.trim_end())));
    found.map(|path| path.file_name().unwrap().to_str().unwrap().parse().unwrap()).collect()
}
