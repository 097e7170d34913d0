//! A `http` trigger: where it listens, and its bounds. Its routes are read in `route`.

use super::{Mentions, Places, route};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{HttpLimits, HttpSettings, Listen, Listener, ServerTls},
    reader::{Node, Problem, Section},
    sections::{bindings::secret_source, control},
};

/// Reads what belongs to the type.
pub(super) fn read<'d>(section: &Section<'d>, places: Places<'_>, mentions: &mut Mentions<'d>) -> HttpSettings {
    let listen = section.require("listen", "where connections come in, such as \"127.0.0.1:8080\", or a list");
    HttpSettings {
        listeners: listen.map(|node| listeners(&node, places, mentions)).unwrap_or_default(),
        routes: section.or("routes", Vec::new(), |node| route::read_all(node, places, mentions)),
        limits: limits(section.get("limits").and_then(|node| node.section("a table"))),
        access_log: section.or("access_log", false, Node::flag),
        verbose_errors: section.or("verbose_errors", false, Node::flag),
    }
}

fn listeners<'d>(node: &Node<'d>, places: Places<'_>, mentions: &mut Mentions<'d>) -> Vec<Listener> {
    let items = if node.is_list() { node.list("a list of listeners").unwrap_or_default() } else { vec![node.clone()] };
    if items.is_empty() && node.is_list() {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::BadValue,
            found: "no listener".to_owned(),
            expected: "at least one".to_owned(),
            hint: None,
        });
    }
    let found = items.into_iter().filter_map(|item| Some((listener(&item, places)?, item)));
    let (listeners, nodes): (Vec<_>, Vec<_>) = found.unzip();
    mentions.listeners = nodes;
    listeners
}

const EXPECTED: &str =
    "\"ADDRESS:PORT\", \"unix:PATH\", \"inherited:NAME\", or a table { address, mode, tls = { cert, key } }";

fn listener(node: &Node<'_>, places: Places<'_>) -> Option<Listener> {
    if node.is_text() {
        return Some(Listener { listen: listen(node, places)?, tls: None });
    }
    let section = node.section(EXPECTED)?;
    let address = section.require("address", EXPECTED).and_then(|node| listen(&node, places));
    let mode = section.get("mode");
    let tls = section.get("tls").and_then(|node| tls(&node, places));
    section.finish();
    let listen = match (address?, mode) {
        (Listen::Unix { path, .. }, Some(node)) => Listen::Unix { path, mode: control::mode(&node)? },
        (_, Some(node)) => {
            return node.problem(Problem {
                kind: ConfigErrorKind::Conflict,
                found: "`mode` of a listener that is no Unix socket of the daemon's own".to_owned(),
                expected: "it beside an address \"unix:PATH\" only".to_owned(),
                hint: None,
            });
        }
        (listen, None) => listen,
    };
    Some(Listener { listen, tls })
}

fn listen(node: &Node<'_>, places: Places<'_>) -> Option<Listen> {
    let text = node.text_without_nul(EXPECTED)?;
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Some(Listen::Unix { path: places.runtime_dir.join(path), mode: defaults::LISTENER_MODE });
    }
    if let Some(name) = text.strip_prefix("inherited:").filter(|name| !name.is_empty()) {
        return Some(Listen::Inherited(name.to_owned()));
    }
    match text.parse() {
        Ok(address) => Some(Listen::Tcp(address)),
        Err(_not_an_address) => {
            let hint = text.starts_with("localhost:").then(|| "addresses are numbers: 127.0.0.1 or [::1]".to_owned());
            node.bad(ConfigErrorKind::BadValue, EXPECTED, hint)
        }
    }
}

fn tls(node: &Node<'_>, places: Places<'_>) -> Option<ServerTls> {
    let section = node.section("a table { cert, key }")?;
    let cert = section.require("cert", "the file of the certificate with its chain, in PEM");
    let cert = cert.and_then(|node| node.path_in(places.directory));
    let key = section.require("key", "where the key is: { file = \"PATH\" } or { credential = \"NAME\" }");
    let key = key.and_then(|node| secret_source::read(&node, places.directory));
    section.finish();
    Some(ServerTls { cert: cert?, key: key? })
}

fn limits(section: Option<Section<'_>>) -> HttpLimits {
    let base = HttpLimits::default();
    let Some(section) = section else { return base };
    let limits = HttpLimits {
        body: section.or("body", base.body, |node| node.size(&bounds::PAYLOAD)),
        bodies: section.or("bodies", base.bodies, |node| node.size(&bounds::QUEUE_BYTES)),
        head: section.or("head", base.head, |node| node.size(&bounds::HTTP_HEAD)),
        connections: section.or("connections", base.connections, |node| node.count(&bounds::HTTP_CONNECTIONS)),
        head_timeout: section.or("head_timeout", base.head_timeout, |node| node.time(&bounds::HTTP_TIMEOUT)),
        body_timeout: section.or("body_timeout", base.body_timeout, |node| node.time(&bounds::HTTP_TIMEOUT)),
        write_timeout: section.or("write_timeout", base.write_timeout, |node| node.time(&bounds::HTTP_TIMEOUT)),
        keep_alive: section.or("keep_alive", base.keep_alive, |node| node.time(&bounds::HTTP_TIMEOUT)),
    };
    section.finish();
    limits
}
