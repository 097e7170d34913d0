//! One file: read, called with, moved away.

use std::{
    ffi::OsStr,
    io,
    ops::ControlFlow::{self, Break, Continue},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::{
    inbox::Taken,
    moves::{self, MoveError, Moved},
    payload,
    report::Failure,
    shared::Shared,
    verdict::{self, Verdict},
    waiting::{Ending, Memory},
};
use crate::{
    config::AfterFile,
    files::{fingerprint::Fingerprint, read::ReadError},
    host::chain,
};

/// What becomes of a file that was taken up.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is away.
    Over,
    /// It does not rest, or is not what it was: it is to be taken up again after this time.
    Again(Duration),
    /// The guest failed, and has it again after this time.
    Failed(Duration),
    /// It is something that is never taken.
    Other(&'static str),
    /// The module takes no calls before then, or the daemon cannot open files.
    Unavailable(Duration),
    /// It cannot be moved away.
    Stuck(String),
    /// The inbox cannot be looked into.
    Blind,
}

/// Takes up one file. `wait`: for how long a module is left alone that does not take calls.
pub(super) async fn process(shared: &Arc<Shared>, name: &Arc<OsStr>, memory: &mut Memory, wait: Duration) -> Outcome {
    let ending = match memory.ending.take() {
        Some(ending) => ending,
        None => match attempt(shared, name, memory, wait).await {
            Break(outcome) => return outcome,
            Continue(ending) => ending,
        },
    };
    finish(shared, name, memory, ending).await
}

/// Reads it and calls the guest; goes on with what needs no further call.
async fn attempt(
    shared: &Arc<Shared>,
    name: &Arc<OsStr>,
    memory: &mut Memory,
    wait: Duration,
) -> ControlFlow<Outcome, Ending> {
    let settings = shared.settings.load_full();
    let (state, payload) = match read(shared, name, memory, wait).await {
        Ok(read) => read,
        Err(stop) => return stop,
    };
    if memory.of.replace(state) != Some(state) {
        // How it failed as something else is over.
        memory.attempts = 0;
    }
    let reply = shared.caller.call_target(&settings.target, payload).await;
    let verdict = verdict::of(&reply.outcome, wait);
    memory.attempts += u32::from(matches!(verdict, Verdict::Again | Verdict::Never));
    match (verdict, &reply.outcome) {
        (Verdict::Done, _) | (_, Ok(_)) => Continue(Ending { state, failure: None }),
        (Verdict::Unavailable(wait), _) => Break(Outcome::Unavailable(wait)),
        (Verdict::Again, _) if memory.attempts < settings.attempts => Break(Outcome::Failed(settings.retry_delay)),
        (Verdict::Again | Verdict::Never, Err(error)) => {
            let (at, call, attempts, why) = (SystemTime::now(), Some(reply.call), memory.attempts, chain(error));
            Continue(Ending { state, failure: Some(Failure { at, call, attempts, why }) })
        }
    }
}

type Stop = ControlFlow<Outcome, Ending>;

/// Reads it; the error is what follows where there is nothing to call with.
async fn read(
    shared: &Arc<Shared>,
    name: &Arc<OsStr>,
    memory: &mut Memory,
    wait: Duration,
) -> Result<(Fingerprint, Bytes), Stop> {
    let settings = shared.settings.load_full();
    let (seen, settle) = (memory.seen, **shared.settle.load());
    let (theirs, file) = (Arc::clone(shared), Arc::clone(name));
    let taken = blocking(move || {
        let taken = theirs.inbox.take(&file, seen, settle, settings.max_size);
        taken.map(|taken| match taken {
            Taken::Read(read) => Ok((read.fingerprint, payload::of(&file, read, settings.envelope))),
            other => Err(other),
        })
    });
    let failure = |why| {
        let failure = Failure { at: SystemTime::now(), call: None, attempts: memory.attempts, why };
        Some(failure)
    };
    match taken.await {
        Some(Ok(Ok((state, Ok(payload))))) => Ok((state, payload)),
        Some(Ok(Ok((state, Err(error))))) => Err(Continue(Ending { state, failure: failure(chain(&error)) })),
        Some(Ok(Err(Taken::Restless(seen, left)))) => {
            memory.seen = Some(seen);
            Err(Break(Outcome::Again(left)))
        }
        Some(Ok(Err(Taken::Other(what)))) => Err(Break(Outcome::Other(what))),
        Some(Ok(Err(Taken::Gone | Taken::Read(_)))) => Err(Break(Outcome::Over)),
        Some(Ok(Err(Taken::Refused(_, ReadError::Io { source, .. })))) if is_short(&source) => {
            Err(Break(Outcome::Unavailable(wait)))
        }
        Some(Ok(Err(Taken::Refused(state, error)))) => Err(Continue(Ending { state, failure: failure(chain(&error)) })),
        Some(Err(error)) if is_short(&error) => Err(Break(Outcome::Unavailable(wait))),
        Some(Err(_)) => Err(Break(Outcome::Blind)),
        None => Err(Break(Outcome::Again(wait))),
    }
}

/// Whether it is the daemon that has not enough of something, which no file can help.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

/// Moves it away.
async fn finish(shared: &Arc<Shared>, name: &Arc<OsStr>, memory: &mut Memory, ending: Ending) -> Outcome {
    let delete = shared.settings.load().after == AfterFile::Delete;
    let (theirs, file, goal, state) = (Arc::clone(shared), Arc::clone(name), ending.goal(name, delete), ending.state);
    let moved = blocking(move || moves::away(&theirs.inbox, &file, &state, &goal)).await;
    let moved: Result<Moved, MoveError> = match moved {
        Some(moved) => moved,
        None => {
            memory.ending = Some(ending);
            memory.stuck = memory.stuck.saturating_add(1);
            return Outcome::Stuck("moving it panicked".to_owned());
        }
    };
    match (moved, ending.failure) {
        (Ok(Moved::Changed), _) => {
            *memory = Memory::default();
            Outcome::Again(Duration::ZERO)
        }
        // The guest had it, whoever took it away then.
        (Ok(Moved::To(_) | Moved::Removed | Moved::Gone), None) => {
            shared.done.fetch_add(1, Relaxed);
            Outcome::Over
        }
        (Ok(Moved::To(path)), Some(failure)) => {
            shared.given_up(name.to_string_lossy().into_owned(), failure.why, path.display().to_string());
            Outcome::Over
        }
        (Ok(Moved::Removed | Moved::Gone), Some(_)) => Outcome::Over,
        (Err(error), failure) => {
            memory.ending = Some(Ending { state, failure });
            memory.stuck = memory.stuck.saturating_add(1);
            Outcome::Stuck(chain(&error))
        }
    }
}

/// Does what blocks where that is allowed; `None`: it panicked.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Some(done),
        Err(error) => {
            tracing::error!(%error, "work on files did not end");
            None
        }
    }
}
