//! Writes down what runs instead of the files, one thing after the other, on a thread that may wait for the disk.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
};

use super::kept::{Kept, Record};
use crate::host::chain;

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

    /// Writes down what runs instead of a module's file.
    pub(super) fn keep(&self, module: Arc<str>, record: Record) {
        self.send(move |kept| {
            if let Err(error) = kept.keep(&module, &record) {
                tracing::error!(
                    error = chain(&error),
                    module = &*module,
                    "cannot write down what runs instead of the module's file"
                );
            }
        });
    }

    /// Forgets what ran instead of a module's file.
    pub(super) fn forget(&self, module: Arc<str>) {
        self.send(move |kept| {
            if let Err(error) = kept.forget(&module) {
                tracing::error!(
                    error = chain(&error),
                    module = &*module,
                    "cannot forget what ran instead of the module's file"
                );
            }
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

impl Drop for Keeper {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has told so.
            thread.join().ok();
        }
    }
}
