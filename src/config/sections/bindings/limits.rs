//! `[bindings.NAME.limits]`: how much a binding does at once.

use crate::config::{bounds, model::BindingLimits, reader::Node};

/// Reads the table over the defaults.
pub(super) fn read(node: &Node<'_>) -> Option<BindingLimits> {
    let section = node.section("a table { concurrent, queue, timeout, max_request, max_response }")?;
    let base = BindingLimits::default();
    let limits = BindingLimits {
        concurrent: section.or("concurrent", base.concurrent, |node| node.count(&bounds::BINDING_CONCURRENT)),
        queue: section.or("queue", base.queue, |node| node.count(&bounds::BINDING_QUEUE)),
        timeout: section.or("timeout", base.timeout, |node| node.time(&bounds::BINDING_TIMEOUT).map(Some)),
        max_request: section.or("max_request", base.max_request, |node| node.size(&bounds::PAYLOAD)),
        max_response: section.or("max_response", base.max_response, |node| node.size(&bounds::RESPONSE)),
    };
    section.finish();
    Some(limits)
}
