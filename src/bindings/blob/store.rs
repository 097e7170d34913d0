//! What a backend is: something that takes commands and answers each, and the words they share.

use std::{
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::{name::Name, space::Scope};
use crate::{
    bindings::{BackendStatus, Check, payload::cut},
    host::{HostCallError, HostErrorKind},
};

/// What a backend is asked. Everything that a guest can get wrong about a request was found before.
#[derive(Debug)]
pub(super) enum Command {
    Put {
        place: Place,
        data: Bytes,
        only_if_absent: bool,
        content_type: Option<String>,
    },
    Get {
        place: Place,
        span: Span,
    },
    Head(Place),
    List(Page),
    Delete(Place),
    /// Two places of one space, never the same.
    Copy {
        from: Place,
        to: Place,
        only_if_absent: bool,
    },
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) name: Name,
}

impl Place {
    /// The name of the object among those of all spaces.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.scope.path(), self.name.as_str())
    }

    /// The answer where there is no object.
    pub(super) fn not_found(&self) -> HostCallError {
        HostCallError::new(HostErrorKind::NotFound, format!("no object `{}`", cut(self.name.as_str())))
    }

    /// The answer where there must be no object, but there is.
    pub(super) fn conflict(&self) -> HostCallError {
        HostCallError::new(HostErrorKind::Conflict, format!("there is an object `{}`", cut(self.name.as_str())))
    }

    /// Refuses what is over `max_object`.
    pub(super) fn check_size(&self, size: u64, max_object: u64) -> Result<(), HostCallError> {
        if size <= max_object {
            return Ok(());
        }
        let name = cut(self.name.as_str());
        let why = format!("{size} bytes of object `{name}` are over `max_object`, {max_object} bytes");
        Err(HostCallError::new(HostErrorKind::TooLarge, why))
    }
}

/// The bytes of an object that are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) offset: u64,
    /// `None`: to the end.
    pub(super) length: Option<u64>,
}

impl Span {
    /// Which bytes these are in an object of this size; none at and behind its end.
    pub(super) fn within(self, size: u64) -> Range<u64> {
        let start = self.offset.min(size);
        start..self.length.map_or(size, |length| start.saturating_add(length).min(size))
    }
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) scope: Scope,
    pub(super) prefix: String,
    /// Names up to this one are left out; empty: none.
    pub(super) after: String,
    pub(super) limit: usize,
}

/// What an operation answers.
#[derive(Debug)]
pub(super) enum Outcome {
    Put { etag: Option<String> },
    Got { data: Bytes, facts: Facts },
    Head(Facts),
    Listed(Listed),
    Deleted(bool),
    Copied,
}

/// What is known of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Bytes of all of it.
    pub(super) size: u64,
    pub(super) modified: Millis,
    pub(super) etag: Option<String>,
    pub(super) content_type: Option<String>,
}

/// Objects in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) objects: Vec<Entry>,
    /// After which name the rest follows.
    pub(super) next: Option<String>,
}

/// An object of a list.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) modified: Millis,
}

/// Milliseconds since 1970.
pub(super) type Millis = i64;

/// A moment of the wall clock.
pub(super) fn millis(at: SystemTime) -> Millis {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX),
        Err(before) => Millis::try_from(before.duration().as_millis()).map_or(Millis::MIN, |millis| -millis),
    }
}

/// The answer to a command.
pub(super) type Outcomes = Result<Outcome, HostCallError>;

/// An answer, or the place where it arrives.
pub(super) enum Submitted {
    /// It is there.
    Done(Outcomes),
    /// It comes later. Where this is dropped, what has begun on a disk goes on to its end, and a request to a server is
    /// broken off.
    Waiting(BoxFuture<'static, Outcomes>),
}

/// A backend, shared by all workers.
pub(super) trait Store: Send + Sync + 'static {
    /// Takes a command; never blocks.
    fn submit(&self, command: Command) -> Submitted;

    /// Whether every command is done at once.
    fn answers_at_once(&self) -> bool {
        false
    }

    /// Asks whether it is well; `None` where it cannot be otherwise. Never blocks.
    fn check(&self) -> Option<Check> {
        None
    }

    /// How it stands with the server behind it; `None` where there is none.
    fn backend(&self) -> Option<BackendStatus> {
        None
    }

    /// Finishes what has begun, then ends; may block.
    fn stop(&self) {}
}
