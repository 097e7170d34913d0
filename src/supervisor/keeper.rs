//! Writes down what runs instead of the files, one thing after the other, on a thread that may wait for the disk.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::SystemTime,
};

use super::{
    events::unix,
    kept::{Kept, Record},
    status::GenerationOrigin,
    swaps::{Reply, answer},
    tree::Supervisor,
};
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

impl Supervisor {
    /// Writes down what runs instead of the file, or that the file runs. Nobody waits for the disk here.
    pub(super) fn keep(&mut self, module: usize, instead: Option<(GenerationOrigin, String)>) {
        let Some(child) = self.modules.get_mut(module) else { return };
        let Some(current) = child.code.current() else { return };
        let (name, runs, size) = (Arc::clone(&child.config.name), current.sha256.to_string(), current.size);
        let file = child.code.file.as_ref().map(|file| file.sha256.to_string());
        let barred: Vec<String> = child.code.barred.iter().map(ToString::to_string).collect();
        let is_file = file.as_ref() == Some(&runs);
        let Some((origin, why)) = instead.filter(|_| !is_file || !barred.is_empty()) else {
            self.keeper.forget(name);
            return;
        };
        child.code.run_instead(why.clone());
        let record = Record { file, runs, size, origin, at: unix(SystemTime::now()), barred, why: Some(why) };
        self.keeper.keep(name, record);
    }

    /// Tells whoever asked for a swap that it is done, when what was written down for it is on the disk.
    pub(super) fn answer_when_kept(&self, reply: Option<Reply>) {
        let Some(reply) = reply else { return };
        self.keeper.then(move || answer(Some(reply), Ok(true)));
    }
}
