//! A `messages` trigger.

use super::{Mentions, format, target};
use crate::config::{
    Topic, bounds, defaults,
    error::ConfigErrorKind,
    model::{DurableConsumer, MessagesSettings},
    reader::{Node, Section},
};

/// Reads what belongs to the type.
pub(super) fn read<'d>(section: &Section<'d>, mentions: &mut Mentions<'d>) -> MessagesSettings {
    let binding = section.require("binding", "the name of a messaging binding");
    let name = binding.as_ref().and_then(|node| node.text("the name of a messaging binding")).unwrap_or_default();
    mentions.binding = binding;
    let topics = section.require("topics", "topics such as \"orders.*\", one or a list");
    let topics = topics.map(|node| self::topics(&node)).unwrap_or_default();
    MessagesSettings {
        binding: name.into(),
        group: section.or("group", None, |node| word(node).map(Some)),
        durable: section.or("durable", None, |node| durable(node, &topics).map(Some)),
        topics,
        target: target(section, mentions),
        envelope: section.or("envelope", None, |node| format(node).map(Some)),
        concurrency: section
            .or("concurrency", defaults::TRIGGER_CONCURRENCY, |node| node.count(&bounds::TRIGGER_CONCURRENCY)),
    }
}

fn topics(node: &Node<'_>) -> Vec<Topic> {
    let items = if node.is_list() { node.list("a list of topics").unwrap_or_default() } else { vec![node.clone()] };
    if items.is_empty() && node.is_list() {
        node.bad::<()>(ConfigErrorKind::BadValue, "at least one topic", None);
    }
    items.iter().filter_map(topic).collect()
}

fn topic(node: &Node<'_>) -> Option<Topic> {
    const EXPECTED: &str = "a topic, such as \"orders.*\"";
    match node.text(EXPECTED)?.parse() {
        Ok(topic) => Some(topic),
        Err(why) => node.bad(ConfigErrorKind::BadValue, format!("{EXPECTED}: {why}"), None),
    }
}

/// What NATS takes as the name of a group, a consumer or a stream.
fn word(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a name of letters, digits, _ and -";
    let text = node.text(EXPECTED)?;
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits { Some(text.to_owned()) } else { node.bad(ConfigErrorKind::BadValue, EXPECTED, None) }
}

/// Where messages go that are given up: never to whom they came from, who would give them up again.
fn dead_letter(node: &Node<'_>, topics: &[Topic]) -> Option<Topic> {
    let topic = topic(node)?;
    let text = topic.as_str();
    if text.split('.').any(|part| part == "*" || part == ">") {
        return node.bad(ConfigErrorKind::BadValue, "one topic, without `*` and `>`", None);
    }
    if topics.iter().any(|pattern| pattern.includes(text)) {
        return node.bad(ConfigErrorKind::BadValue, "a topic that is none of `topics`", None);
    }
    Some(topic)
}

fn durable(node: &Node<'_>, topics: &[Topic]) -> Option<DurableConsumer> {
    let section = node.section("a table { name, stream, max_deliveries, retry_delay, ack_wait, dead_letter }")?;
    let name = section.require("name", "the consumer's name on the server").and_then(|node| word(&node));
    let consumer = DurableConsumer {
        stream: section.or("stream", None, |node| word(node).map(Some)),
        max_deliveries: section
            .or("max_deliveries", defaults::MAX_DELIVERIES, |node| node.count(&bounds::TRIGGER_ATTEMPTS)),
        retry_delay: section.or("retry_delay", defaults::RETRY_DELAY, |node| node.time(&bounds::RETRY_DELAY)),
        ack_wait: section.or("ack_wait", defaults::ACK_WAIT, |node| node.time(&bounds::ACK_WAIT)),
        dead_letter: section.or("dead_letter", None, |node| dead_letter(node, topics).map(Some)),
        name: name.unwrap_or_default(),
    };
    section.finish();
    Some(consumer)
}
