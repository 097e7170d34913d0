//! `[modules.NAME.rate_limit]`: how many calls a module takes in a time.

use crate::config::{bounds, defaults, model::RateLimit, reader::Node};

/// Reads it; without a problem it is a limit.
pub(super) fn read(node: &Node<'_>) -> Option<RateLimit> {
    let section = node.section("a table { calls, per, burst }")?;
    let calls = section.require("calls", "how many calls the module takes, a number");
    let calls = calls.and_then(|node| node.count(&bounds::RATE_LIMIT_CALLS));
    let per = section.or("per", defaults::RATE_LIMIT_PER, |node| node.time(&bounds::RATE_LIMIT_PER));
    // Without it a whole period's calls may come at once.
    let burst = section.get("burst").map(|node| node.count(&bounds::RATE_LIMIT_BURST));
    section.finish();
    let calls = calls?;
    Some(RateLimit { calls, per, burst: burst.unwrap_or(Some(calls))? })
}
