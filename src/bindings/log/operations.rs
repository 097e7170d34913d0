//! What the `log` binding does: finds the level, reads the text, writes one event.

use std::borrow::Cow;

use bytes::Bytes;
use tracing::Level;

use crate::bindings::{BindingCall, BindingReply, Caller, payload::cut};

/// Target of all events that guests write, so that they can be filtered apart from the daemon's own.
pub const TARGET: &str = "wapcd::guest";

/// Bytes of text of one line, the same as for `__console_log`. A stack trace fits; the double would only let a guest
/// fill the log twice as fast, and half of it cuts the JSON documents that people log while they look for an error.
pub const MAX_TEXT: usize = 64 * 1024;

/// The operations, each a level.
pub(in crate::bindings) const OPERATIONS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// Writes one event, unless the guest floods. A line that nobody wants to see costs nothing of its budget.
macro_rules! write_event {
    ($level:ident, $binding:expr, $call:expr) => {
        if tracing::enabled!(target: TARGET, Level::$level) && may_pass($call) {
        tracing::event!(
            target: TARGET,
            Level::$level,
            module = &*$call.caller.module,
            instance = $call.caller.instance,
            generation = $call.caller.generation,
            call = $call.caller.call,
            trace = $call.caller.chain.trace().map(tracing::field::display),
            binding = $binding,
            namespace = (!$call.namespace.is_empty()).then_some(&*cut(&$call.namespace)),
            cut_from = ($call.payload.len() > MAX_TEXT).then_some($call.payload.len()),
            "{}",
            text(&$call.payload)
        )
        }
    };
}

/// Logs the payload at the level that the operation names.
pub(super) fn log(binding: &str, call: &BindingCall) -> BindingReply {
    match call.operation.as_str() {
        "trace" => write_event!(TRACE, binding, call),
        "debug" => write_event!(DEBUG, binding, call),
        "info" => write_event!(INFO, binding, call),
        "warn" => write_event!(WARN, binding, call),
        "error" => write_event!(ERROR, binding, call),
        _ => return Err(call.no_such_operation(binding, &OPERATIONS)),
    }
    Ok(Bytes::new())
}

/// Whether the instance may log another line; reports what was dropped before it, as the instance's console does.
fn may_pass(call: &BindingCall) -> bool {
    let Caller { module, instance, generation, call, lines, chain, .. } = &call.caller;
    let admitted = lines.admit();
    if admitted {
        let lines = lines.take_dropped();
        if lines > 0 {
            let trace = chain.trace().map(tracing::field::display);
            tracing::warn!(
                target: TARGET,
                module = &**module,
                instance,
                generation,
                call,
                trace,
                lines,
                "guest floods, lines dropped"
            );
        }
    }
    admitted
}

/// At most [`MAX_TEXT`] bytes of text, whatever the payload is.
fn text(payload: &[u8]) -> Cow<'_, str> {
    /// With three bytes more than the limit, a character that is cut in two starts behind the limit and goes away.
    const LOOKED_AT: usize = MAX_TEXT + 3;
    let text = String::from_utf8_lossy(payload.get(..LOOKED_AT).unwrap_or(payload));
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = text.floor_char_boundary(MAX_TEXT);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::{Event, Subscriber, field::Field};
    use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

    use super::*;
    use crate::bindings::testing::call;

    /// Keeps events as one line each: level, target, and the fields in their order.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = format!("{} {}", event.metadata().level(), event.metadata().target());
            event.record(&mut |field: &Field, value: &dyn std::fmt::Debug| line += &format!(" {field}={value:?}"));
            self.0.lock().push(line);
        }
    }

    fn logged(call: &BindingCall) -> (BindingReply, Vec<String>) {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let reply = tracing::subscriber::with_default(subscriber, || log("log", call));
        let lines = lines.0.lock().clone();
        (reply, lines)
    }

    #[test]
    fn writes_one_event_at_each_level_with_the_facts_about_the_caller() {
        for (operation, level) in
            [("trace", "TRACE"), ("debug", "DEBUG"), ("info", "INFO"), ("warn", "WARN"), ("error", "ERROR")]
        {
            let (reply, lines) = logged(&call(operation, "grüße"));
            assert!(reply.unwrap().is_empty());
            let expected = format!(
                "{level} wapcd::guest message=grüße module=\"tester\" instance=7 generation=1 call=42 binding=\"log\""
            );
            assert_eq!(lines, [expected]);
        }
    }

    #[test]
    fn names_the_namespace_where_there_is_one() {
        let mut call = call("info", "x");
        call.namespace = "audit".into();
        let (_, lines) = logged(&call);
        assert!(lines.first().unwrap().ends_with("namespace=\"audit\""), "{lines:?}");
    }

    #[test]
    fn lists_the_operations_where_there_is_no_such_one() {
        let (reply, lines) = logged(&call("print", "x"));
        let expected = "no_such_operation: binding `log` has no operation `print`: trace, debug, info, warn, error";
        assert_eq!((reply.unwrap_err().to_string().as_str(), lines.len()), (expected, 0));
    }

    #[test]
    fn a_flood_is_dropped_and_reported_with_the_next_line_that_passes() {
        let call = call("info", "x");
        let dropped = (0..5_000).map(|_| logged(&call)).filter(|(_, lines)| lines.is_empty()).count();
        assert!(dropped > 3_000, "{dropped}");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let lines = loop {
            let (reply, lines) = logged(&call);
            assert!(reply.unwrap().is_empty() && std::time::Instant::now() < deadline);
            if !lines.is_empty() {
                break lines;
            }
        };
        assert_eq!(lines.len(), 2, "{lines:?}");
        let report = "WARN wapcd::guest message=guest floods, lines dropped module=\"tester\" instance=7 generation=1 call=42 lines=";
        assert!(lines.first().unwrap().starts_with(report), "{lines:?}");
    }

    #[test]
    fn lines_below_the_level_cost_nothing() {
        let call = call("debug", "x");
        for _ in 0..5_000 {
            log("log", &call).unwrap();
        }
        assert_eq!(call.caller.lines.take_dropped(), 0);
        assert!(call.caller.lines.admit());
    }

    #[test]
    fn cuts_long_text_at_a_character_and_says_how_long_it_was() {
        for (character, kept) in [("x", MAX_TEXT), ("ü", MAX_TEXT), ("€", MAX_TEXT - 1), ("🦀", MAX_TEXT)] {
            let payload = character.repeat(MAX_TEXT);
            let text = text(payload.as_bytes());
            assert_eq!(text.len(), kept, "{character}");
            assert!(payload.starts_with(&*text), "{character}");
        }
        let (_, lines) = logged(&call("info", vec![b'x'; MAX_TEXT + 1]));
        assert!(lines.first().unwrap().ends_with(&format!("cut_from={}", MAX_TEXT + 1)));
    }

    #[test]
    fn bytes_that_are_no_text_stay_within_the_limit() {
        assert_eq!(text(b"a\xffb"), "a\u{fffd}b");
        let garbage = [0xff; MAX_TEXT * 2];
        let text = text(&garbage);
        assert!(text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 3);
        assert!(text.chars().all(|character| character == '\u{fffd}'));
    }
}
