//! Panics as log lines: one event each, where the standard library would write several lines between those of the log.

use std::{
    backtrace::Backtrace,
    env,
    ffi::OsStr,
    panic::{self, PanicHookInfo},
    thread,
};

/// The target of the events.
pub const PANIC_TARGET: &str = "wapcd::panic";

/// The thread that writes the log, which cannot tell of its own panic.
pub(super) const WRITER: &str = "log";

/// How the panics begin that the standard library raises where it must not unwind; they end the process at once.
const ENDS: [&str; 2] = ["panic in a function that cannot unwind", "panic in a destructor during cleanup"];

/// What `$RUST_BACKTRACE` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frames {
    None,
    Short,
    Full,
}

impl Frames {
    fn asked(value: Option<&OsStr>) -> Self {
        match value {
            None => Self::None,
            Some(value) if value == "0" => Self::None,
            Some(value) if value == "full" => Self::Full,
            Some(_) => Self::Short,
        }
    }

    /// The stack of whoever calls this. Finding the names takes a while, up to a second the first time.
    fn text(self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Short => Some(Backtrace::force_capture().to_string()),
            Self::Full => Some(format!("{:#}", Backtrace::force_capture())),
        }
    }
}

/// Logs every panic from now on. What the log cannot say, because its filter keeps it out, its writer panicked or the
/// process ends before the line is written, goes to standard error as before.
///
/// A panic in here would end the process: nothing is formatted but texts and numbers, and what formats them is ours.
pub(super) fn log() {
    let (before, frames) = (panic::take_hook(), Frames::asked(env::var_os("RUST_BACKTRACE").as_deref()));
    panic::set_hook(Box::new(move |panicked| {
        let thread = thread::current();
        if thread.name() == Some(WRITER) || !tracing::enabled!(target: PANIC_TARGET, tracing::Level::ERROR) {
            return before(panicked);
        }
        let text = text(panicked);
        let location = panicked.location().map(tracing::field::display);
        let backtrace = frames.text();
        tracing::error!(
            target: PANIC_TARGET,
            thread = thread.name(),
            location,
            panic = text,
            backtrace,
            "panicked"
        );
        if ENDS.iter().any(|end| text.starts_with(end)) {
            before(panicked);
        }
    }));
}

fn text<'a>(panicked: &'a PanicHookInfo<'_>) -> &'a str {
    panicked.payload_as_str().unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backtrace_is_there_where_the_environment_asks_for_one() {
        let asked = |value: &str| Frames::asked(Some(OsStr::new(value)));
        assert_eq!((Frames::asked(None), asked("0")), (Frames::None, Frames::None));
        assert_eq!((asked("1"), asked("full")), (Frames::Short, Frames::Full));
        assert_eq!(Frames::None.text(), None);
        let (short, full) = (Frames::Short.text(), Frames::Full.text());
        assert!(short.is_some_and(|text| text.contains("a_backtrace_is_there")), "no names");
        assert!(full.is_some_and(|text| text.contains("a_backtrace_is_there")), "no names");
    }
}
