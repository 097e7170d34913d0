//! Writes down what runs instead of the files, one thing after the other, on a thread that may wait for the disk.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::SystemTime,
};

use super::{
    kept::{Kept, KeptError, Record},
    moments::unix,
    status::GenerationOrigin,
    swaps::{Reply, SwapError, answer},
    tree::Supervisor,
};
use crate::{actors::causes_of, host::chain};

/// The thread. It ends when this is dropped, after everything that was asked for.
#[derive(Debug)]
pub(super) struct Keeper {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&Kept) + Send>;

impl Keeper {
    /// Starts the thread.
    pub(super) fn start(kept: Arc<Kept>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || queue.into_iter().for_each(|job| job(&kept));
        let thread = thread::Builder::new().name("wapcd-keep".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Writes down what runs instead of a module's file, and tells whoever asked for that.
    fn keep(&self, module: Arc<str>, record: Record, reply: Option<Reply>) {
        self.send(move |kept| {
            let done = kept.keep(&module, &record);
            tell(done, &module, "cannot write down what runs instead of the module's file", reply);
        });
    }

    /// Forgets what ran instead of a module's file, and tells whoever asked for that.
    pub(super) fn forget(&self, module: Arc<str>, reply: Option<Reply>) {
        self.send(move |kept| {
            let done = kept.forget(&module);
            tell(done, &module, "cannot forget what ran instead of the module's file", reply);
        });
    }

    /// Does something when everything that was asked for before is done.
    pub(super) fn then(&self, act: impl FnOnce() + Send + 'static) {
        self.send(|_| act());
    }

    fn send(&self, job: impl FnOnce(&Kept) + Send + 'static) {
        if let Some(jobs) = &self.jobs {
            // The thread ends with this value only.
            jobs.send(Box::new(job)).ok();
        }
    }
}

/// Tells how it went: the log of what failed, and whoever asked of both.
fn tell(done: Result<(), KeptError>, module: &str, what: &str, reply: Option<Reply>) {
    if let Err(error) = &done {
        tracing::error!(error = chain(error), module, "{what}");
    }
    let failed = |error: KeptError| SwapError::NotKept(causes_of(&error));
    answer(reply, done.map(|()| true).map_err(failed));
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has told so.
            thread.join().ok();
        }
    }
}

impl Supervisor {
    /// Writes down what runs instead of the file, or that the file runs; whoever asked for a swap is told when that is on the
    /// disk. Nobody waits for the disk here.
    pub(super) fn keep(&mut self, module: usize, instead: Option<(GenerationOrigin, String)>, reply: Option<Reply>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(current) = child.code.current() else { return };
        let (name, runs, size) = (Arc::clone(&child.config.name), current.sha256.to_string(), current.size);
        let file = child.code.file.as_ref().map(|file| file.sha256.to_string());
        let barred: Vec<String> = child.code.barred.iter().map(ToString::to_string).collect();
        let is_file = file.as_ref() == Some(&runs);
        let Some((origin, why)) = instead.filter(|_| !is_file || !barred.is_empty()) else {
            self.keeper.forget(name, reply);
            return;
        };
        child.code.run_instead(why.clone());
        let record = Record { file, runs, size, origin, at: unix(SystemTime::now()), barred, why: Some(why) };
        self.keeper.keep(name, record, reply);
    }
}
