//! `[modules.NAME] on_start` and `on_stop`: an operation, or a table with what else there is to say about it.

use std::time::Duration;

use super::swap::{OPERATION, fitting, operation};
use crate::config::{
    bounds, defaults,
    model::{ModuleLimits, OnStart, OnStop},
    reader::{Node, Section},
};

/// Reads what is called when the module starts.
pub(super) fn on_start(node: &Node<'_>, limits: &ModuleLimits) -> Option<OnStart> {
    let (attempts, retry_delay) = (defaults::ON_START_ATTEMPTS, defaults::ON_START_RETRY_DELAY);
    if node.is_text() {
        let (operation, payload) = (operation(node)?, String::new());
        return Some(OnStart { operation, payload, attempts, retry_delay, timeout: None });
    }
    let section = node.section("an operation, or a table { operation, payload, attempts, retry_delay, timeout }")?;
    let (operation, payload, timeout) = call(&section, limits);
    let attempts = section.or("attempts", attempts, |node| node.count(&bounds::ON_START_ATTEMPTS));
    let retry_delay = section.or("retry_delay", retry_delay, |node| node.time(&bounds::RETRY_DELAY));
    section.finish();
    Some(OnStart { operation: operation?, payload, attempts, retry_delay, timeout })
}

/// Reads what is called when the module stops.
pub(super) fn on_stop(node: &Node<'_>, limits: &ModuleLimits) -> Option<OnStop> {
    if node.is_text() {
        return Some(OnStop { operation: operation(node)?, payload: String::new(), timeout: None });
    }
    let section = node.section("an operation, or a table { operation, payload, timeout }")?;
    let (operation, payload, timeout) = call(&section, limits);
    section.finish();
    Some(OnStop { operation: operation?, payload, timeout })
}

/// What both have. The payload must fit the module's limits; the time may be longer than that of other calls, since nobody
/// waits for what prepares a database.
fn call(section: &Section<'_>, limits: &ModuleLimits) -> (Option<String>, String, Option<Duration>) {
    let operation = section.require("operation", OPERATION).and_then(|node| operation(&node));
    let payload = section.or("payload", "", |node| fitting(node, limits.payload, "payload"));
    let timeout = section.get("timeout").and_then(|node| node.time(&bounds::HOOK_TIMEOUT));
    (operation, payload.to_owned(), timeout)
}
