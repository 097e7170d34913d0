//! A `http_client` binding.

use super::{Places, server};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{HttpClientSettings, TlsFiles},
    reader::{Node, Section},
};

/// Reads what belongs to the type.
pub(super) fn read(section: &Section<'_>, places: Places<'_>) -> HttpClientSettings {
    HttpClientSettings {
        tls: section.or("tls", TlsFiles::default(), |node| server::tls(node, places.directory)),
        connect_timeout: section
            .or("connect_timeout", defaults::CONNECT_TIMEOUT, |node| node.time(&bounds::CONNECT_TIMEOUT)),
        max_redirects: section
            .or("max_redirects", defaults::HTTP_REDIRECTS, |node| node.count(&bounds::HTTP_REDIRECTS)),
        max_body: section.or("max_body", defaults::HTTP_MAX_BODY, |node| node.size(&bounds::PAYLOAD)),
        connections_per_host: section
            .or("connections_per_host", defaults::HTTP_PER_HOST, |node| node.count(&bounds::HTTP_PER_HOST)),
        idle_connections: section.or("idle_connections", defaults::HTTP_IDLE, |node| node.count(&bounds::HTTP_IDLE)),
        user_agent: section.or("user_agent", defaults::HTTP_USER_AGENT.to_owned(), user_agent),
    }
}

/// What can stand in a header.
fn user_agent(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a text of printable characters";
    let text = node.text(EXPECTED)?;
    if text.is_empty() || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return node.bad(ConfigErrorKind::BadValue, EXPECTED, None);
    }
    Some(text.to_owned())
}
