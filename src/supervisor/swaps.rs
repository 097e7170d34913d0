//! The swaps of one module: the one that is under way, those that wait, and what became of them. Plain values.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures_util::future::AbortHandle;
use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    generations::Code,
    loader::Loaded,
    status::{GenerationOrigin, SwapCounts},
};
use crate::config::Module;

/// Swaps of one module that may wait for the one under way; each may hold the bytes of a module.
const WAITING: usize = 8;

/// Someone wants other code.
#[derive(Debug)]
pub(super) struct SwapRequest {
    pub(super) source: SwapSource,
    pub(super) origin: GenerationOrigin,
    /// Why what runs is not wanted, for a roll back.
    pub(super) why: Option<String>,
    /// Told how it ended; `true`: the code is another.
    pub(super) reply: Option<Reply>,
}

/// How whoever asked for a swap hears of its end.
pub(super) type Reply = oneshot::Sender<Result<bool, SwapError>>;

/// Where other code is.
#[derive(Debug)]
pub(super) enum SwapSource {
    /// In the module's file.
    File,
    /// Loaded already, for a reload.
    Loaded(Box<Loaded>),
    /// An operator sent it.
    Sent {
        code: Bytes,
        /// Whether it is taken though it was rolled back before.
        force: bool,
    },
    /// It ran before; nothing happens unless this generation still runs.
    LastGood { instead_of: u64 },
}

/// Why a swap did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SwapError {
    /// It could not be tried.
    #[error("{0}")]
    Refused(String),
    /// It was tried, and the old code goes on: an error and its causes, outermost first.
    #[error("{}", .0.join(": "))]
    Failed(Vec<String>),
    /// It is done, and could not be written down: an error and its causes, outermost first.
    #[error("the code runs, but not after a restart of the daemon: {}", .0.join(": "))]
    NotKept(Vec<String>),
}

/// The swap that is under way.
#[derive(Debug)]
pub(super) struct SwapRun {
    pub(super) id: u64,
    pub(super) origin: GenerationOrigin,
    pub(super) why: Option<String>,
    /// Whether code is taken that was rolled back before.
    pub(super) force: bool,
    pub(super) reply: Option<Reply>,
    pub(super) stage: Stage,
}

/// How far a swap has got.
#[derive(Debug)]
pub(super) enum Stage {
    /// The code is read and compiled.
    Loading,
    /// One instance after the other takes it.
    Rolling(Rolling),
}

/// One instance after the other takes the code.
#[derive(Debug)]
pub(super) struct Rolling {
    pub(super) code: Code,
    /// Places whose instances have it.
    pub(super) taken: BTreeSet<usize>,
    /// The one that takes it now.
    pub(super) step: Option<Step>,
    /// How often instances that have it have failed since.
    pub(super) failures: u32,
}

/// An instance takes the code.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) slot: usize,
    pub(super) instance: u64,
    /// `None`: a fresh instance is started with it.
    pub(super) renewal: Option<AbortHandle>,
    /// With which the guest was started.
    pub(super) config: Arc<Module>,
}

impl Drop for Step {
    /// A guest that is still being started for it is not wanted.
    fn drop(&mut self) {
        if let Some(abort) = &self.renewal {
            abort.abort();
        }
    }
}

/// The swaps of one module.
#[derive(Debug, Default)]
pub(super) struct Swaps {
    run: Option<SwapRun>,
    waiting: VecDeque<SwapRequest>,
    /// Number of the swap under way, so that loads for an earlier one are stale.
    id: Arc<AtomicU64>,
    counts: BTreeMap<GenerationOrigin, SwapCounts>,
}

impl Swaps {
    /// Queues a request, or refuses it: its reply tells so. A look at the file that waits already does for two.
    pub(super) fn push(&mut self, request: SwapRequest) {
        let is_file = |request: &SwapRequest| matches!(request.source, SwapSource::File) && request.reply.is_none();
        if is_file(&request) && self.waiting.iter().any(is_file) {
            return;
        }
        match request.source {
            SwapSource::LastGood { .. } => self.waiting.push_front(request),
            _ if self.waiting.len() >= WAITING => {
                answer(request.reply, Err(SwapError::Refused(format!("{WAITING} swaps of it are waiting already"))));
            }
            _ => self.waiting.push_back(request),
        }
    }

    /// The next request, if no swap is under way.
    pub(super) fn next(&mut self) -> Option<SwapRequest> {
        if self.run.is_some() { None } else { self.waiting.pop_front() }
    }

    /// Whether nothing is under way and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.run.is_none() && self.waiting.is_empty()
    }

    /// Refuses everything that waits but looks at the file, which the next start takes anyway.
    pub(super) fn refuse_waiting(&mut self, why: &str) {
        for request in self.waiting.drain(..) {
            answer(request.reply, Err(SwapError::Refused(why.to_owned())));
        }
    }

    /// Begins a swap; its number, and where it stands.
    pub(super) fn begin(&mut self, request: SwapRequest) -> (u64, Arc<AtomicU64>) {
        let SwapRequest { source, origin, why, reply } = request;
        let force = matches!(source, SwapSource::Sent { force: true, .. });
        let id = self.id.fetch_add(1, Relaxed) + 1;
        self.run = Some(SwapRun { id, origin, why, force, reply, stage: Stage::Loading });
        (id, Arc::clone(&self.id))
    }

    pub(super) fn run(&self) -> Option<&SwapRun> {
        self.run.as_ref()
    }

    pub(super) fn run_mut(&mut self) -> Option<&mut SwapRun> {
        self.run.as_mut()
    }

    /// The roll that is under way.
    pub(super) fn rolling(&self) -> Option<&Rolling> {
        match &self.run.as_ref()?.stage {
            Stage::Rolling(rolling) => Some(rolling),
            Stage::Loading => None,
        }
    }

    pub(super) fn rolling_mut(&mut self) -> Option<&mut Rolling> {
        match &mut self.run.as_mut()?.stage {
            Stage::Rolling(rolling) => Some(rolling),
            Stage::Loading => None,
        }
    }

    /// Notes that an instance was started in a place: the step that waited for it is done.
    pub(super) fn started(&mut self, slot: usize, instance: u64) {
        let Some(rolling) = self.rolling_mut() else { return };
        if rolling.step.take_if(|step| step.instance == instance && step.renewal.is_none()).is_some() {
            rolling.taken.insert(slot);
        }
    }

    /// Notes that an instance made way, for a fresh one of the same code: its step is to be made again.
    pub(super) fn left(&mut self, instance: u64) {
        if let Some(rolling) = self.rolling_mut() {
            rolling.step.take_if(|step| step.instance == instance);
        }
    }

    /// Stops the step that is under way: its instance ends.
    pub(super) fn stop_step(&mut self) {
        if let Some(rolling) = self.rolling_mut() {
            rolling.step = None;
        }
    }

    /// Takes the swap out that is under way: it has ended. What still loads for it is stale.
    pub(super) fn end(&mut self) -> Option<SwapRun> {
        self.id.fetch_add(1, Relaxed);
        self.run.take()
    }

    /// Counts how a swap ended.
    pub(super) fn count(&mut self, origin: GenerationOrigin, done: bool) {
        let counts = self.counts.entry(origin).or_default();
        *(if done { &mut counts.done } else { &mut counts.failed }) += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<String, SwapCounts> {
        self.counts.iter().map(|(origin, counts)| (origin.as_str().to_owned(), *counts)).collect()
    }

    /// The swap under way, in words.
    pub(super) fn describe(&self, instances: usize) -> Option<String> {
        let run = self.run.as_ref()?;
        Some(match &run.stage {
            Stage::Loading => "the code is read and compiled".to_owned(),
            Stage::Rolling(Rolling { code, taken, .. }) => {
                format!("{} of {instances} instances have generation {}", taken.len(), code.generation)
            }
        })
    }
}

/// Tells whoever asked.
pub(super) fn answer(reply: Option<Reply>, outcome: Result<bool, SwapError>) {
    if let Some(reply) = reply {
        // One that has gone does not want to know.
        reply.send(outcome).ok();
    }
}

#[cfg(test)]
mod tests;
