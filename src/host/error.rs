//! How loading, starting and calling a guest can fail.
//!
//! The types say how bad it is: [`LoadError`] means that there is no instance, a [`CallError`] ends one call, and
//! a [`GuestExit`] ends the instance as well. Nothing here is text to be parsed.

use std::{fmt, time::Duration};

use thiserror::Error;

/// Any error of a callback; its whole chain of causes reaches the guest.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a module could not be loaded: there is no instance, and whatever ran before goes on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The bytes are not a WebAssembly module that this engine takes; the text says what they are instead.
    #[error("not a WebAssembly module: {0}")]
    NotAModule(String),
    /// The module is well formed at first sight, but compiling it failed.
    #[error("the module does not compile")]
    Compile(#[source] BoxError),
    /// A required export is missing or has another type.
    #[error("export `{name}` {found}, expected {expected}")]
    Export {
        /// Name of the export.
        name: &'static str,
        /// What the module has instead.
        found: String,
        /// The type that waPC demands.
        expected: &'static str,
    },
    /// Imports that no part of the host offers, each as `module.name` with its type.
    #[error("unknown imports: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// The memory or table that the module starts with is already over its limit.
    #[error("the initial {resource} of {asked} {unit} is over the limit of {limit} {unit}", unit = resource.unit())]
    InitialSize {
        /// Which limit.
        resource: Resource,
        /// What the module starts with.
        asked: u64,
        /// What it is allowed.
        limit: u64,
    },
    /// The engine has no room for another instance.
    #[error("no room for another instance: the engine was made for {limit}")]
    NoRoom {
        /// How many instances the engine was made for.
        limit: u32,
    },
    /// The guest needs the asynchronous host, for the reason given.
    #[error("this guest needs WapcHostAsync: {0}")]
    NeedsAsync(&'static str),
    /// A start function ended the instance before it was ready.
    #[error("start function `{function}` failed")]
    Start {
        /// `_start`, `_initialize`, `wapc_init`, or `(start section)`.
        function: &'static str,
        /// How it ended.
        #[source]
        exit: GuestExit,
    },
    /// A directory or another WASI setting could not be granted.
    #[error("cannot grant WASI {what}")]
    Wasi {
        /// The directory or setting.
        what: String,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// The engine cannot do this at all.
    #[error("the engine does not support {0}")]
    Unsupported(&'static str),
    /// The engine itself failed.
    #[error("the engine failed")]
    Engine(#[source] BoxError),
}

/// Why a guest call did not end in a response.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The guest answered with an error; the instance lives on.
    #[error("{0}")]
    Guest(String),
    /// Payload, response or error text is over its limit; nothing was copied and the instance lives on.
    #[error("{part} of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// Which part.
        part: Part,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The instance ended and is never called again.
    #[error(transparent)]
    Exit(#[from] GuestExit),
    /// The instance had ended before, and a fresh one could not be started.
    #[error("no fresh instance")]
    Restart(#[from] LoadError),
}

impl CallError {
    /// Whether the instance that took this call is gone.
    #[must_use]
    pub fn ends_instance(&self) -> bool {
        matches!(self, Self::Exit(_) | Self::Restart(_))
    }
}

/// How an instance ended. It is never called again after any of these.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GuestExit {
    /// The guest trapped.
    #[error(transparent)]
    Trapped(Box<Trap>),
    /// The call took longer than it may.
    #[error("deadline of {} ms exceeded after {} ms{}", limit.as_millis(), elapsed.as_millis(), if *in_host_call { ", in a host call" } else { "" })]
    DeadlineExceeded {
        /// What the call was allowed, from the moment the host took it.
        limit: Duration,
        /// What it had used when it was ended.
        elapsed: Duration,
        /// Whether the guest was waiting for a host call: a slow backend, not a slow guest.
        in_host_call: bool,
    },
    /// The guest ran into a limit and could not go on.
    #[error("{resource} limit of {limit} {unit} exceeded{}", asked.map(|n| format!(", {n} asked")).unwrap_or_default(), unit = resource.unit())]
    LimitExceeded {
        /// Which limit.
        resource: Resource,
        /// What is allowed.
        limit: u64,
        /// What the guest asked for, where that is known.
        asked: Option<u64>,
        /// The trap that followed.
        #[source]
        trap: Box<Trap>,
    },
    /// The guest called `proc_exit`.
    #[error("the guest exited with code {0}")]
    Exited(u32),
    /// Code of the host panicked while it worked for this guest.
    #[error("the host panicked: {0}")]
    HostPanicked(String),
}

impl GuestExit {
    /// Where the guest was, innermost frame first; empty for exits that are no trap.
    #[must_use]
    pub fn backtrace(&self) -> &[Frame] {
        match self {
            Self::Trapped(trap) | Self::LimitExceeded { trap, .. } => &trap.backtrace,
            Self::DeadlineExceeded { .. } | Self::Exited(_) | Self::HostPanicked(_) => &[],
        }
    }
}

impl From<Trap> for GuestExit {
    fn from(trap: Trap) -> Self {
        Self::Trapped(Box::new(trap))
    }
}

/// A trap: what kind, with which message, and where in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// The kind of trap.
    pub kind: TrapKind,
    /// One sentence: the engine's, or the guest's own (`env.abort`).
    pub message: String,
    /// Innermost frame first.
    pub backtrace: Vec<Frame>,
    /// The error text that the guest had set before it trapped.
    pub guest_error: Option<String>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest trapped: {}", self.message)?;
        match &self.guest_error {
            Some(text) => write!(f, " (it had reported: {text})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Trap {}

/// One frame of a guest's backtrace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, where the guest has a name section.
    pub function: Option<String>,
    /// Index of the function in the module.
    pub index: u32,
    /// Offset of the instruction in the file, in bytes.
    pub offset: Option<u64>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(name) => f.write_str(name)?,
            None => write!(f, "function {}", self.index)?,
        }
        self.offset.map_or(Ok(()), |offset| write!(f, " @ {offset:#x}"))
    }
}

/// The kinds of trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrapKind {
    /// `unreachable` was executed, as most languages do when they panic.
    Unreachable,
    /// Access outside of linear memory by the guest's own code.
    MemoryOutOfBounds,
    /// A pointer or length given to the host lies outside of linear memory.
    BadPointer,
    /// Access outside of a table.
    TableOutOfBounds,
    /// An indirect call to nothing or to another type.
    BadIndirectCall,
    /// Integer overflow, division by zero, or a conversion without result.
    Arithmetic,
    /// The wasm stack is exhausted.
    StackOverflow,
    /// AssemblyScript's `abort`.
    Abort,
    /// Anything else; the message says what.
    Other,
}

/// What a limit limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Linear memory, in bytes.
    Memory,
    /// Tables, in elements.
    Table,
    /// The wasm stack, in bytes.
    Stack,
}

impl Resource {
    /// The unit in which the limit counts.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Memory | Self::Stack => "bytes",
            Self::Table => "elements",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Stack => "stack",
        })
    }
}

/// The parts of a call that have a size limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The name of the operation.
    Operation,
    /// What the caller sent.
    Payload,
    /// What the guest answered.
    Response,
    /// The text of the guest's error.
    GuestError,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operation => "operation",
            Self::Payload => "payload",
            Self::Response => "response",
            Self::GuestError => "guest error",
        })
    }
}

/// Writes an error and all its causes on one line, outermost first. Many libraries repeat the cause in the text of the
/// error around it: what the line already ends with is not said again.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Only whole parts: the end of a word is not a cause that was told.
        let before = text.strip_suffix(&said);
        if !before.is_some_and(|before| before.is_empty() || before.ends_with(": ")) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{error::Error, io};

    use super::chain;

    /// An error that repeats its cause in its own text, or does not.
    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("cannot connect: {0}")]
        Repeats(#[source] io::Error),
        #[error("cannot connect")]
        Leaves(#[source] io::Error),
    }

    #[test]
    fn a_cause_that_the_error_around_it_repeats_is_said_once() {
        for outer in [Outer::Repeats, Outer::Leaves] {
            let error: Box<dyn Error> = Box::new(outer(io::Error::other("refused")));
            assert_eq!(chain(&*error), "cannot connect: refused");
        }
    }

    #[test]
    fn the_end_of_a_word_is_no_cause_that_was_told() {
        let outer = Outer::Leaves(io::Error::other("connect"));
        assert_eq!(chain(&outer), "cannot connect: connect");
    }
}
