//! How something ended: for a table in a few words, for a page with everything.

use super::{
    put,
    text::{ago, utc, visible},
};
use crate::supervisor::status::ExitStatus;

/// The reason and its age, for a cell of a table.
pub(super) fn cell(exit: Option<&ExitStatus>, now: f64) -> String {
    exit.map(|exit| format!("{}, {}", visible(&exit.reason), ago(exit.at, now))).unwrap_or_default()
}

/// The whole exit on lines of its own.
pub(super) fn paragraph(exit: &ExitStatus, now: f64) -> String {
    let mut text =
        format!("  last exit   {}, {} ({}){}\n", visible(&exit.reason), ago(exit.at, now), utc(exit.at), call(exit));
    text.push_str(&causes(&exit.causes));
    for frame in &exit.backtrace {
        put(&mut text, format_args!("      at {}\n", visible(frame)));
    }
    text
}

/// An error and its causes, a line each.
pub(super) fn causes(causes: &[String]) -> String {
    let mut text = String::new();
    for (depth, cause) in causes.iter().enumerate() {
        put(&mut text, format_args!("    {}{}\n", if depth == 0 { "" } else { "because: " }, visible(cause)));
    }
    text
}

/// The call in which it ended: `, operation ..., call ..., from ...`.
pub(super) fn call(exit: &ExitStatus) -> String {
    let named = |name: &str, value: Option<String>| value.map(|value| format!(", {name} {value}")).unwrap_or_default();
    let mut text = named("operation", exit.operation.as_deref().map(|name| format!("`{}`", visible(name))));
    text.push_str(&named("call", exit.call.map(|call| call.to_string())));
    text.push_str(&named("from", exit.origin.as_deref().map(visible)));
    text
}
