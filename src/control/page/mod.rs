//! What the daemon says about itself as text for people: tables, a page for one module, a line for an event.
//!
//! Some of it was written by guests, so control characters are shown and never obeyed by the terminal. `now` is a
//! parameter, in seconds since the Unix epoch: ages and waits are told as they are on this side of the socket.

mod change;
mod code;
mod configuration;
mod event;
mod exit;
mod message;
mod module;
mod overview;
mod text;
mod trigger;

use std::fmt::Write as _;

pub use self::{
    change::{reload, rollback, swap},
    event::{event, lost},
    message::{lost_messages, message, published},
    module::{module, outcome},
    overview::{bindings, modules, status},
    text::{lines, visible},
    trigger::{trigger, trigger_outcome, triggers},
};
use super::Problem;

/// A problem on standard error: what happened, then every cause or problem on a line of its own, or where in the guest.
#[must_use]
pub fn problem(problem: &Problem) -> String {
    let facts = &problem.facts;
    let mut text = if facts.causes.is_empty() && facts.problems.is_empty() {
        lines(&problem.to_string())
    } else {
        // The detail says the same in one piece.
        let whose = facts.module.as_deref().map(|name| format!("module `{}`: ", visible(name))).unwrap_or_default();
        format!("{whose}{}", visible(&problem.title))
    };
    if !facts.causes.is_empty() {
        put(&mut text, format_args!("\n{}", exit::causes(&facts.causes).trim_end_matches('\n')));
    }
    for problem in &facts.problems {
        put(&mut text, format_args!("\n    {}", text::below(problem, "    ")));
    }
    for frame in &facts.backtrace {
        put(&mut text, format_args!("\n    at {}", visible(frame)));
    }
    text
}

/// Appends formatted text; writing to a string cannot fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).unwrap_or_default();
}

/// A state, and when its owner is started next.
fn state(name: &str, next_try: Option<f64>, now: f64) -> String {
    next_try.map_or_else(|| name.to_owned(), |at| format!("{name}, next try {}", text::until(at, now)))
}
