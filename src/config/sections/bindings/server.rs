//! What every server behind a binding has: where it is, who the daemon is to it, TLS, connections, circuit.

use std::path::Path;

use url::Url;

use super::{Places, secret_source};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{Circuit, Server, TlsFiles},
    reader::{Node, Problem, Section},
    sections::restart,
};

/// What a type's server is like.
pub(super) struct Kind {
    /// What its URLs may begin with.
    pub(super) schemes: &'static [&'static str],
    /// A URL, for messages.
    pub(super) example: &'static str,
    /// Whether there may be several URLs.
    pub(super) several: bool,
}

/// The servers of NATS, which carry messages and keep values.
pub(super) const NATS: Kind = Kind { schemes: &["nats", "tls"], example: "nats://127.0.0.1:4222", several: true };

/// Reads the keys of a server. `url` is one text, or a list where there may be several.
pub(super) fn read(section: &Section<'_>, kind: &Kind, places: Places<'_>) -> Server {
    let node = section.require("url", &format!("where the server is, such as \"{}\"", kind.example));
    let urls = node.and_then(|node| urls(&node, kind)).unwrap_or_default();
    let tls = section.or("tls", TlsFiles::default(), |node| tls(node, places.directory));
    if tls != TlsFiles::default() {
        refuse_unused_tls(section, &urls);
    }
    Server {
        urls,
        user: section.get("user").and_then(|node| node.text("a user's name").map(str::to_owned)),
        password: section.get("password").and_then(|node| secret_source::read(&node, places.directory)),
        tls,
        connect_timeout: section
            .or("connect_timeout", defaults::CONNECT_TIMEOUT, |node| node.time(&bounds::CONNECT_TIMEOUT)),
        connections: section.or("connections", defaults::CONNECTIONS, |node| node.count(&bounds::CONNECTIONS)),
        circuit: section.or("circuit", Circuit::default(), circuit),
    }
}

/// Schemes of connections that nothing secures, each with the one of those that TLS does. Where the scheme does not decide
/// (`nats`, `postgres`) files of TLS are enough.
const PLAIN: [(&str, &str); 2] = [("redis", "rediss"), ("http", "https")];

/// Whoever names files of TLS wants a secured connection: that the URL says otherwise must not be found out from a trace.
fn refuse_unused_tls(section: &Section<'_>, urls: &[String]) {
    let scheme = |url: &String| url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let plain = urls.iter().filter_map(scheme).find_map(|scheme| PLAIN.into_iter().find(|(plain, _)| *plain == scheme));
    if let (Some(node), Some((plain, secured))) = (section.get("tls"), plain) {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("files of TLS beside a `url` that begins with {plain}://, which is not secured"),
            expected: format!("a `url` that begins with {secured}://"),
            hint: None,
        });
    }
}

/// The keys of a server.
const KEYS: [&str; 7] = ["url", "user", "password", "tls", "connect_timeout", "connections", "circuit"];

fn urls(node: &Node<'_>, kind: &Kind) -> Option<Vec<String>> {
    if !node.is_list() || !kind.several {
        return Some(vec![url(node, kind)?]);
    }
    let urls: Vec<String> = node.list("a list of URLs")?.iter().filter_map(|node| url(node, kind)).collect();
    if urls.is_empty() {
        return node.bad(ConfigErrorKind::BadValue, format!("a URL, such as \"{}\"", kind.example), None);
    }
    Some(urls)
}

fn url(node: &Node<'_>, kind: &Kind) -> Option<String> {
    let expected = format!("a URL, such as \"{}\"", kind.example);
    let text = node.text_without_nul(&expected)?;
    let problem = |found: &str, hint: &str| {
        // What is written may have a password in it: it is not repeated.
        node.problem(Problem {
            kind: ConfigErrorKind::BadValue,
            found: found.to_owned(),
            expected: expected.clone(),
            hint: Some(hint.to_owned()),
        })
    };
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return problem("no URL", &error.to_string()),
    };
    if !kind.schemes.contains(&url.scheme()) {
        return problem("a URL of another kind", &format!("it begins with {}", list(kind.schemes)));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return problem("a URL with a user or a password", "they have keys of their own: `user` and `password`");
    }
    let has_secret = |(key, _): (std::borrow::Cow<'_, str>, _)| matches!(&*key, "password" | "sslpassword" | "token");
    if url.query_pairs().any(has_secret) {
        return problem("a URL with a password", "it has a key of its own: `password`");
    }
    Some(text.to_owned())
}

fn list(schemes: &[&str]) -> String {
    schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ")
}

/// Reads the files of TLS.
pub(super) fn tls(node: &Node<'_>, directory: &Path) -> Option<TlsFiles> {
    let section = node.section("a table { ca, cert, key }")?;
    let file = |key| section.get(key).and_then(|node| node.path_in(directory));
    let tls = TlsFiles { ca: file("ca"), cert: file("cert"), key: file("key") };
    section.finish();
    if tls.cert.is_some() != tls.key.is_some() {
        return node.problem(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "a certificate without its key, or a key without its certificate".to_owned(),
            expected: "both `cert` and `key`, or neither".to_owned(),
            hint: None,
        });
    }
    Some(tls)
}

fn circuit(node: &Node<'_>) -> Option<Circuit> {
    let section = node.section("a table { failures, backoff }")?;
    let base = Circuit::default();
    let circuit = Circuit {
        failures: section.or("failures", base.failures, |node| node.count(&bounds::CIRCUIT_FAILURES)),
        backoff: section.or("backoff", base.backoff.clone(), |node| restart::backoff(node, &base.backoff)),
    };
    section.finish();
    Some(circuit)
}

/// Refuses the keys of a server for a backend that has none.
pub(super) fn refuse(section: &Section<'_>, owners: &str) {
    for key in KEYS {
        section.refuse(key, || Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("`{key}`, a key of backends with a server"),
            expected: format!("it only with the backends {owners}"),
            hint: None,
        });
    }
}
