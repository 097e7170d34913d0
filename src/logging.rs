//! Where log lines go, and how they look there.
//!
//! Lines are formatted where they arise and written by a thread of their own, so that a slow reader never holds up a
//! worker. The queue between them is bounded: lines that do not fit are dropped, and their number is logged.

use std::{
    env,
    fmt::Debug,
    fs,
    io::{self, IsTerminal as _, Write},
    os::unix::fs::MetadataExt as _,
    sync::{Arc, OnceLock},
};

use thiserror::Error;
use tracing::{field::Field, level_filters::LevelFilter};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Registry, field::MakeExt as _, fmt, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::config::{self, LogFormat, LogLevel};

mod journal;
mod panics;

pub use panics::PANIC_TARGET;

/// The variable that overrides the configured level, with a filter as `wapcd=debug,actix_server=info`.
pub const FILTER_VARIABLE: &str = "WAPCD_LOG";

/// Lines that may wait for the writer. At the usual 200 bytes this is 400 KiB; if all were as long as a guest can make
/// them (64 KiB), 128 MiB. Half of it drops lines in a burst that a terminal takes tenths of a second to print.
const WAITING_LINES: usize = 2048;

/// Why logging could not be started.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter in the environment is wrong.
    #[error("${FILTER_VARIABLE} is not a log filter: `{value}`")]
    Filter {
        /// Its value.
        value: String,
        /// What is wrong.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The journal cannot be reached.
    #[error("cannot log to the journal at {}", journal::SOCKET)]
    Journal(#[source] io::Error),
    /// Somebody else in this process receives the log.
    #[error("logging was already started")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Logging, for as long as this value lives; dropping it writes what still waits.
#[derive(Debug)]
#[must_use = "log lines are lost when this is dropped"]
pub struct Logs {
    levels: Levels,
    _writer: WorkerGuard,
}

impl Logs {
    /// The way to another level.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }
}

/// Changes the level of the log while it is written.
#[derive(Debug, Clone)]
pub struct Levels(reload::Handle<EnvFilter, Registry>);

impl Levels {
    /// Sets the configured level, which has no effect where the variable [`FILTER_VARIABLE`] says another.
    pub fn set(&self, level: LogLevel) {
        let changed = filter(level, env::var(FILTER_VARIABLE).ok()).map(|filter| self.0.reload(filter));
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot change the level of the log"),
            // It was read at the start.
            Err(error) => tracing::error!(%error, "cannot change the level of the log"),
        }
    }
}

/// Starts to log to standard error, or to the journal behind it; panics are logged from then on.
///
/// # Errors
/// [`LoggingError`].
pub fn start(settings: &config::Logging) -> Result<Logs, LoggingError> {
    let filter = filter(settings.level, env::var(FILTER_VARIABLE).ok())?;
    let (filter, levels) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let (format, journal) = resolve(settings.format)?;
    let (writer, guard) = match journal {
        Some(journal) => queue(journal, journal::dropped),
        None if format == LogFormat::Json => queue(io::stderr(), dropped_json),
        None => queue(io::stderr(), dropped_text),
    };
    let started = match format {
        LogFormat::Journald => registry.with(journal::Entries(writer)).try_init(),
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_span_list(false);
            registry.with(layer.with_writer(writer)).try_init()
        }
        LogFormat::Text | LogFormat::Auto => {
            let fields = fmt::format::debug_fn(write_field).delimited(" ");
            let layer = fmt::layer().with_ansi(colours()).with_target(false).fmt_fields(fields);
            registry.with(layer.with_writer(writer)).try_init()
        }
    };
    started.map_err(LoggingError::Twice)?;
    panics::log();
    Ok(Logs { levels: Levels(levels), _writer: guard })
}

/// Writes one field of a text line. Line ends and other control characters are escaped: a guest's text must not be able
/// to look like a line of its own.
fn write_field(writer: &mut fmt::format::Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    if field.name() != "message" {
        write!(writer, "{field}=")?;
    }
    for character in format!("{value:?}").chars() {
        match character.is_control() {
            true => write!(writer, "{}", character.escape_default())?,
            false => writer.write_char(character)?,
        }
    }
    Ok(())
}

/// Colours are for terminals of people who did not say that they want none.
fn colours() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The filter: the variable's, else the configured level for wapcd and warnings of what it is built from.
fn filter(level: LogLevel, variable: Option<String>) -> Result<EnvFilter, LoggingError> {
    if let Some(value) = variable.filter(|value| !value.trim().is_empty()) {
        return EnvFilter::builder().parse(&value).map_err(|source| LoggingError::Filter { value, source });
    }
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = own.min(LevelFilter::WARN);
    // What the client of NATS says of lost connections is told by the binding, once and with its name.
    let value = format!("{others},async_nats=off,wapcd={own}");
    EnvFilter::builder().parse(&value).map_err(|source| LoggingError::Filter { value, source })
}

/// What `auto` means here, and the journal where it is used. A journal that only `auto` asked for may be missing.
fn resolve(format: LogFormat) -> Result<(LogFormat, Option<journal::Journal>), LoggingError> {
    match format {
        LogFormat::Journald => {
            Ok((format, Some(journal::Journal::connect(journal::SOCKET).map_err(LoggingError::Journal)?)))
        }
        LogFormat::Text | LogFormat::Json => Ok((format, None)),
        LogFormat::Auto => {
            let journal = is_journal_stream().then(|| journal::Journal::connect(journal::SOCKET).ok()).flatten();
            let format = match &journal {
                Some(_) => LogFormat::Journald,
                None if io::stderr().is_terminal() => LogFormat::Text,
                None => LogFormat::Json,
            };
            Ok((format, journal))
        }
    }
}

/// Whether standard error is the stream that systemd connected to the journal, and not a file or pipe set up later.
fn is_journal_stream() -> bool {
    let found = fs::metadata("/dev/stderr").map(|found| (found.dev(), found.ino())).ok();
    env::var("JOURNAL_STREAM").is_ok_and(|value| found.is_some() && parse_stream(&value) == found)
}

/// Device and inode out of `$JOURNAL_STREAM`.
fn parse_stream(value: &str) -> Option<(u64, u64)> {
    let (device, inode) = value.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

/// The bounded queue before a writer, and the thread behind it.
fn queue<W: Write + Send + 'static>(writer: W, notice: fn(usize) -> Vec<u8>) -> (NonBlocking, WorkerGuard) {
    let counter = Arc::new(OnceLock::new());
    let writer = Reporting { writer, counter: counter.clone(), reported: 0, notice };
    let builder =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES).thread_name(panics::WRITER);
    let (queue, guard) = builder.finish(writer);
    counter.get_or_init(|| queue.error_counter());
    (queue, guard)
}

/// A writer that says how many lines were dropped before it. A line is only dropped while others wait, so there
/// always is a write after it that can tell.
struct Reporting<W> {
    writer: W,
    counter: Arc<OnceLock<ErrorCounter>>,
    reported: usize,
    notice: fn(usize) -> Vec<u8>,
}

impl<W: Write> Write for Reporting<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let dropped = self.counter.get().map(ErrorCounter::dropped_lines).unwrap_or_default();
        if dropped > self.reported {
            let notice = (self.notice)(dropped - self.reported);
            self.reported = dropped;
            self.writer.write_all(&notice)?;
        }
        self.writer.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What every form of the notice says.
const DROPPED: &str = "log lines were dropped because their reader is slow";

fn dropped_text(lines: usize) -> Vec<u8> {
    format!("{}  WARN {DROPPED} lines={lines}\n", now()).into_bytes()
}

fn dropped_json(lines: usize) -> Vec<u8> {
    let event = serde_json::json!({ "timestamp": now(), "level": "WARN", "message": DROPPED, "lines": lines });
    format!("{event}\n").into_bytes()
}

/// The time as the log lines have it.
fn now() -> String {
    use fmt::time::FormatTime as _;
    let mut text = String::new();
    // Without a time the notice is still worth its line.
    fmt::time::SystemTime.format_time(&mut fmt::format::Writer::new(&mut text)).unwrap_or_default();
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_level_is_wapcds_own_and_the_rest_only_warns() {
        assert_eq!(filter(LogLevel::Debug, None).unwrap().to_string(), "async_nats=off,wapcd=debug,warn");
        assert_eq!(filter(LogLevel::Error, None).unwrap().to_string(), "async_nats=off,wapcd=error,error");
        assert_eq!(filter(LogLevel::Error, Some("trace".into())).unwrap().to_string(), "trace");
        assert_eq!(filter(LogLevel::Info, Some(" ".into())).unwrap().to_string(), "async_nats=off,wapcd=info,warn");
        let error = filter(LogLevel::Info, Some("wapcd=loud".into())).unwrap_err();
        assert_eq!(error.to_string(), "$WAPCD_LOG is not a log filter: `wapcd=loud`");
    }

    #[test]
    fn a_journal_stream_is_a_device_and_an_inode() {
        assert_eq!(parse_stream("9:4711"), Some((9, 4711)));
        assert_eq!(parse_stream("9"), None);
        assert_eq!(parse_stream("9:x"), None);
    }

    #[test]
    fn dropped_lines_are_counted_in_the_log() {
        let (blocked, release) = (std::sync::mpsc::channel::<()>(), Arc::new(parking_lot::Mutex::new(Vec::new())));
        struct Slow(std::sync::mpsc::Receiver<()>, Arc<parking_lot::Mutex<Vec<u8>>>);
        impl Write for Slow {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                // Ends with an error, and at once, when the sender is gone.
                self.0.recv().unwrap_or_default();
                self.1.lock().extend_from_slice(line);
                Ok(line.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (mut log, guard) = queue(Slow(blocked.1, release.clone()), dropped_json);
        for _ in 0..WAITING_LINES + 100 {
            log.write_all(b"line\n").unwrap();
        }
        drop(blocked.0);
        drop(guard);
        let text = String::from_utf8(release.lock().clone()).unwrap();
        let lines: usize = text.lines().filter(|line| *line == "line").count();
        let notice = text.lines().find(|line| line.contains(DROPPED)).unwrap();
        let notice: serde_json::Value = serde_json::from_str(notice).unwrap();
        assert_eq!(lines + usize::try_from(notice["lines"].as_u64().unwrap()).unwrap(), WAITING_LINES + 100);
    }
}
