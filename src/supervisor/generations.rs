//! The code of one module: what runs, what ran before, where each load came from, and what became of it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::SystemTime,
};

use super::{
    fingerprint::Fingerprint,
    kept::Held,
    moments::unix,
    status::{GenerationOrigin, GenerationOutcome, GenerationStatus, SwapErrorStatus},
};
use crate::host::CompiledModule;

/// Generations that are told. An operator looks at the last few; each takes some 200 bytes.
const TOLD: usize = 10;

/// Hashes that stay away at most: nobody sends so many builds that fail before the file changes.
const BARRED: usize = 64;

/// SHA-256 of code, in hexadecimal.
pub(super) type Sha256 = Arc<str>;

/// Compiled code with its number.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) compiled: CompiledModule,
    pub(super) sha256: Sha256,
    /// Bytes of the wasm.
    pub(super) size: u64,
    pub(super) generation: u64,
    /// Keeps it in the state directory for as long as it may be gone back to.
    pub(super) _held: Arc<Held>,
}

/// What a file held when it was read last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileSeen {
    pub(super) sha256: Sha256,
    pub(super) fingerprint: Fingerprint,
}

/// A generation that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OnProbation {
    pub(super) generation: u64,
    /// Exits so far that count.
    pub(super) failures: u32,
    /// How many there may be.
    pub(super) of: u32,
}

/// The code of one module.
#[derive(Debug, Default)]
pub(super) struct Generations {
    current: Option<Code>,
    /// What ran before and did its work, kept compiled.
    last_good: Option<Code>,
    /// Number that was given out last; 0 before the first.
    number: u64,
    /// Newest first.
    told: VecDeque<GenerationStatus>,
    /// What the module's file held when it was read last.
    pub(super) file: Option<FileSeen>,
    /// What was at the file's place when it was looked at last, whatever came of it.
    pub(super) seen: Option<Fingerprint>,
    /// Why something else runs than what the file holds.
    instead: Option<String>,
    /// Code that was rolled back, and stays away until the file changes.
    pub(super) barred: BTreeSet<Sha256>,
    pub(super) last_error: Option<SwapErrorStatus>,
    pub(super) probation: Option<OnProbation>,
}

impl Generations {
    /// The module's code.
    pub(super) fn current(&self) -> Option<&Code> {
        self.current.as_ref()
    }

    /// SHA-256 of what the file held when it was read last.
    fn file_sha256(&self) -> Option<&Sha256> {
        self.file.as_ref().map(|file| &file.sha256)
    }

    /// The code to go back to.
    pub(super) fn last_good(&self) -> Option<&Code> {
        self.last_good.as_ref()
    }

    /// Whether the file holds other code, which was not rolled back.
    pub(super) fn may_go_back_to_file(&self) -> bool {
        self.differs().is_some() && self.file_sha256().is_some_and(|sha256| !self.barred.contains(sha256))
    }

    /// Number of the module's code; 0 before the first load.
    pub(super) fn generation(&self) -> u64 {
        self.current.as_ref().map_or(0, |code| code.generation)
    }

    /// SHA-256 of the module's code.
    pub(super) fn sha256(&self) -> Option<&Sha256> {
        self.current.as_ref().map(|code| &code.sha256)
    }

    /// Notes what the file holds now; whether that is something else than what it held before.
    pub(super) fn note_file(&mut self, file: FileSeen) -> bool {
        let changed = self.file.as_ref().is_none_or(|before| before.sha256 != file.sha256);
        self.seen = Some(file.fingerprint);
        self.file = Some(file);
        changed
    }

    /// A number for code that is tried. Numbers are not used again, also where the code never takes over.
    pub(super) fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    /// Takes code that a start has loaded: there is nothing to go back to, and no swap of which to tell.
    pub(super) fn start(&mut self, code: Code, origin: GenerationOrigin, instead: Option<String>) {
        self.note_outcome(GenerationOutcome::Replaced, None);
        self.last_good = None;
        self.probation = None;
        self.instead = instead;
        self.tell(&code, origin, GenerationOutcome::Current, None);
        self.current = Some(code);
    }

    /// Takes code that all instances run now; `why` tells why what ran before was rolled back, if it was.
    pub(super) fn take_over(&mut self, code: Code, origin: GenerationOrigin, why: Option<String>) {
        let failed = self.probation.take().is_some_and(|on| on.failures > on.of);
        self.last_error = None;
        match origin {
            GenerationOrigin::RollBack => {
                let rolled_back = self.current.take();
                self.barred.extend(rolled_back.map(|code| code.sha256));
                // One of the others goes, which would only be tried once more.
                if self.barred.len() > BARRED {
                    let other = self.barred.iter().find(|sha256| Some(*sha256) != self.file_sha256()).cloned();
                    other.into_iter().for_each(|sha256| drop(self.barred.take(&sha256)));
                }
                self.note_outcome(GenerationOutcome::RolledBack, why);
                self.last_good = None;
            }
            GenerationOrigin::Start | GenerationOrigin::File | GenerationOrigin::Operator => {
                self.note_outcome(GenerationOutcome::Replaced, None);
                let before = self.current.take();
                // Code that failed is nothing to go back to; one that is still on probation has not failed yet.
                self.last_good = if failed { self.last_good.take() } else { before };
            }
        }
        // What was taken again in spite of that is not barred any more.
        self.barred.remove(&code.sha256);
        self.tell(&code, origin, GenerationOutcome::Current, None);
        self.current = Some(code);
    }

    /// Notes code that did not take over.
    pub(super) fn refuse(&mut self, tried: Option<&Code>, error: SwapErrorStatus) {
        if let Some(code) = tried {
            let why = Some(error.causes.join(": "));
            let refused = status(code, error.origin, GenerationOutcome::Refused, why);
            // The code that runs stays on top.
            let at = usize::from(self.current.is_some());
            self.told.insert(at.min(self.told.len()), refused);
            self.told.truncate(TOLD);
        }
        self.last_error = Some(error);
    }

    /// Begins to watch the module's code.
    pub(super) fn watch(&mut self, max_failures: u32) {
        self.probation = Some(OnProbation { generation: self.generation(), failures: 0, of: max_failures });
        self.set_outcome(GenerationOutcome::OnProbation);
    }

    /// Ends the watch of a generation that has stood it; `false` where it is not watched.
    pub(super) fn pass(&mut self, generation: u64) -> bool {
        let passes = |on: &mut OnProbation| on.generation == generation && on.failures <= on.of;
        let passed = self.probation.take_if(passes).is_some();
        if passed {
            self.set_outcome(GenerationOutcome::Current);
        }
        passed
    }

    /// Counts a failure of an instance; what is known of the probation, where this failure ended it.
    pub(super) fn count_failure(&mut self, generation: u64) -> Option<OnProbation> {
        let on = self.probation.as_mut().filter(|on| on.generation == generation)?;
        on.failures += 1;
        // One more than there may be; those after it are told no more.
        (on.failures == on.of.saturating_add(1) && self.last_good.is_some()).then_some(*on)
    }

    /// Whether somebody wanted the module's code in place of the file's, which holds until the file changes.
    pub(super) fn is_instead_of_file(&self) -> bool {
        let origin = self.current.as_ref().and(self.told.front()).map(|told| told.origin);
        matches!(origin, Some(GenerationOrigin::Operator | GenerationOrigin::RollBack))
    }

    /// Says why something else runs than what the file holds.
    pub(super) fn run_instead(&mut self, why: String) {
        self.instead = Some(why);
    }

    /// Why the code that runs is not that of the file, where it is not.
    pub(super) fn differs(&self) -> Option<String> {
        let (file, current) = (self.file.as_ref()?, self.current.as_ref()?);
        if file.sha256 == current.sha256 {
            return None;
        }
        Some(self.instead.clone().unwrap_or_else(|| "the file has changed".to_owned()))
    }

    /// The last generations, newest first.
    pub(super) fn told(&self) -> Vec<GenerationStatus> {
        self.told.iter().cloned().collect()
    }

    fn tell(&mut self, code: &Code, origin: GenerationOrigin, outcome: GenerationOutcome, why: Option<String>) {
        self.told.push_front(status(code, origin, outcome, why));
        self.told.truncate(TOLD);
    }

    /// Notes what became of the module's code, of which another takes the place.
    fn note_outcome(&mut self, outcome: GenerationOutcome, why: Option<String>) {
        if let Some(told) = self.told.front_mut() {
            told.outcome = outcome;
            told.why = why;
        }
    }

    fn set_outcome(&mut self, outcome: GenerationOutcome) {
        self.note_outcome(outcome, None);
    }
}

fn status(code: &Code, origin: GenerationOrigin, outcome: GenerationOutcome, why: Option<String>) -> GenerationStatus {
    GenerationStatus {
        generation: code.generation,
        sha256: code.sha256.to_string(),
        size: code.size,
        origin,
        at: unix(SystemTime::now()),
        outcome,
        why,
    }
}

#[cfg(test)]
mod tests;
