//! What the `log` binding does: finds the level, reads the text, writes one event.

use std::borrow::Cow;

use bytes::Bytes;
use tracing::Level;

use crate::{
    bindings::{BindingCall, BindingReply, payload::cut},
    host::{HostCallError, HostErrorKind},
};

/// Target of all events that guests write, so that they can be filtered apart from the daemon's own.
pub const TARGET: &str = "wapcd::guest";

/// Bytes of text of one line, the same as for `__console_log`. A stack trace fits; the double would only let a guest
/// fill the log twice as fast, and half of it cuts the JSON documents that people log while they look for an error.
pub const MAX_TEXT: usize = 64 * 1024;

/// Writes one event.
macro_rules! write_event {
    ($level:ident, $binding:expr, $call:expr) => {
        tracing::event!(
            target: TARGET,
            Level::$level,
            module = &*$call.caller.module,
            instance = $call.caller.instance,
            call = $call.caller.call,
            binding = $binding,
            namespace = (!$call.namespace.is_empty()).then_some($call.namespace.as_str()),
            cut_from = ($call.payload.len() > MAX_TEXT).then_some($call.payload.len()),
            "{}",
            text(&$call.payload)
        )
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
        other => {
            return Err(HostCallError::new(
                HostErrorKind::NoSuchOperation,
                format!("binding `{binding}` has no operation `{}`: trace, debug, info, warn, error", cut(other)),
            ));
        }
    }
    Ok(Bytes::new())
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
