//! The threads on which instances and bindings live: each turns over when it is asked to, and is replaced when it ends.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::{Duration, Instant},
};

use actix::{Arbiter, ArbiterHandle, Message, Recipient};
use parking_lot::RwLock;

use super::Loads;

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Index of the worker on which the caller runs; `None` on any other thread.
#[must_use]
pub fn current_worker() -> Option<usize> {
    WORKER.get()
}

/// Tells the supervisor that a worker's thread has ended without having been asked to. Nobody answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WorkerEnded {
    /// Index of the worker.
    pub worker: usize,
    /// Which of its threads: 0 for the first, one more for each replacement.
    pub life: u64,
}

/// Everybody's way to the workers: a thread that is replaced is the new one here too. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct WorkerHandles(Arc<RwLock<Vec<WorkerHandle>>>);

#[derive(Debug)]
struct WorkerHandle {
    arbiter: ArbiterHandle,
    stalled: bool,
}

impl WorkerHandles {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.read().len()
    }

    /// The worker of that index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<ArbiterHandle> {
        self.0.read().get(index).map(|worker| worker.arbiter.clone())
    }

    /// Whether the worker of that index turns over, as far as is known. One whose thread has ended does not until another
    /// is in its place.
    #[must_use]
    pub fn turns_over(&self, index: usize) -> bool {
        self.0.read().get(index).is_some_and(|worker| !worker.stalled && worker.arbiter.alive())
    }

    fn set(&self, index: usize, arbiter: ArbiterHandle) {
        let mut workers = self.0.write();
        let worker = WorkerHandle { arbiter, stalled: false };
        match workers.get_mut(index) {
            Some(place) => *place = worker,
            None => workers.push(worker),
        }
    }
}

/// All workers: one thread with one arbiter each.
#[derive(Debug)]
pub struct Workers {
    handles: WorkerHandles,
    loads: Arc<Loads>,
    workers: Vec<Worker>,
    ended: Recipient<WorkerEnded>,
    /// Set when the workers are asked to end, which is no news then.
    stopping: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Worker {
    arbiter: Arbiter,
    life: u64,
    /// Number of the last beat that was sent, and when.
    asked: (u64, Instant),
    /// Number of the last beat that came round.
    turned: Arc<AtomicU64>,
}

/// How often a worker has turned over when it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turns {
    /// Which of its threads: 0 for the first, one more for each replacement.
    pub life: u64,
    /// How often that one has.
    pub turns: u64,
}

/// Lives on a worker and tells of its end: it is dropped with everything else there, also when the thread panics.
struct EndNotice {
    worker: usize,
    life: u64,
    ended: Recipient<WorkerEnded>,
    stopping: Arc<AtomicBool>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        if !self.stopping.load(Acquire) {
            // One notice for each thread; it must not be lost to a full mailbox.
            self.ended.do_send(WorkerEnded { worker: self.worker, life: self.life });
        }
    }
}

impl Workers {
    /// Starts so many workers, at least one. Must be called within an actix system.
    #[must_use]
    pub fn start(count: usize, ended: Recipient<WorkerEnded>) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..count.max(1)).map(|index| Worker::start(index, 0, &ended, &stopping)).collect();
        let handles = WorkerHandles::default();
        workers.iter().enumerate().for_each(|(index, worker)| handles.set(index, worker.arbiter.handle()));
        Self { handles, loads: Arc::default(), workers, ended, stopping }
    }

    /// Everybody's way to them.
    #[must_use]
    pub fn handles(&self) -> WorkerHandles {
        self.handles.clone()
    }

    /// How loaded each of them is, for the queues of the modules that have instances there.
    #[must_use]
    pub fn loads(&self) -> &Arc<Loads> {
        &self.loads
    }

    /// Notes whether a worker turns over.
    pub fn set_stalled(&self, index: usize, stalled: bool) {
        self.handles.0.write().get_mut(index).into_iter().for_each(|worker| worker.stalled = stalled);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// The worker of that index, counted round.
    #[must_use]
    pub fn handle(&self, index: usize) -> Option<ArbiterHandle> {
        self.workers.get(index % self.workers.len().max(1)).map(|worker| worker.arbiter.handle())
    }

    /// Which thread of the worker it is: 0 for the first, one more for each replacement.
    #[must_use]
    pub fn life(&self, index: usize) -> Option<u64> {
        self.workers.get(index).map(|worker| worker.life)
    }

    /// Puts a new thread in the place of one that has ended.
    pub fn replace(&mut self, index: usize) {
        if let Some(worker) = self.workers.get_mut(index) {
            *worker = Worker::start(index, worker.life + 1, &self.ended, &self.stopping);
            self.handles.set(index, worker.arbiter.handle());
        }
    }

    /// Asks a worker to turn over once more, if it has done so since it was last asked. Returns for how long it has not; zero
    /// for a worker that turns over, `None` for one whose thread has ended.
    pub fn beat(&mut self, index: usize, now: Instant) -> Option<Duration> {
        let worker = self.workers.get_mut(index)?;
        let (asked, at) = worker.asked;
        if worker.turned.load(Acquire) < asked {
            return Some(now.saturating_duration_since(at));
        }
        worker.asked = (asked + 1, now);
        let turned = Arc::clone(&worker.turned);
        worker.arbiter.spawn_fn(move || turned.store(asked + 1, Release)).then_some(Duration::ZERO)
    }

    /// How often each worker has turned over when it was asked to. None once they have been asked to end.
    #[must_use]
    pub fn turns(&self) -> Vec<Turns> {
        let turns = |worker: &Worker| Turns { life: worker.life, turns: worker.turned.load(Acquire) };
        if self.are_stopping() { Vec::new() } else { self.workers.iter().map(turns).collect() }
    }

    /// Ends one worker's thread behind the supervisor's back.
    #[cfg(feature = "fault-injection")]
    pub fn end(&self, index: usize) {
        self.workers.get(index).map(|worker| worker.arbiter.stop());
    }

    /// Whether they have been asked to end: a thread that is gone then is missed by nobody.
    #[must_use]
    pub fn are_stopping(&self) -> bool {
        self.stopping.load(Acquire)
    }

    /// Asks every worker to end. What still lives there is dropped.
    pub fn stop(&self) {
        self.stopping.store(true, Release);
        for worker in &self.workers {
            worker.arbiter.stop();
        }
    }
}

impl Worker {
    fn start(index: usize, life: u64, ended: &Recipient<WorkerEnded>, stopping: &Arc<AtomicBool>) -> Self {
        let arbiter = Arbiter::new();
        let notice = EndNotice { worker: index, life, ended: ended.clone(), stopping: Arc::clone(stopping) };
        // Refused only by an arbiter that has ended, and this one has just begun.
        arbiter.spawn_fn(move || {
            WORKER.set(Some(index));
            name_thread(index);
        });
        arbiter.spawn(async move {
            let _notice = notice;
            std::future::pending::<()>().await;
        });
        Self { arbiter, life, asked: (0, Instant::now()), turned: Arc::default() }
    }
}

/// Lets `top -H` and debuggers tell the workers apart: actix calls the threads of all arbiters alike in the 15 bytes that
/// the kernel keeps of a name.
fn name_thread(index: usize) {
    let name = format!("wapcd-worker-{index}");
    if let Err(error) = std::fs::write("/proc/thread-self/comm", &name) {
        tracing::debug!(%error, name, "a worker's thread keeps the name that it had");
    }
}
