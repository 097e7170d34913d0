//! Routes of `http` triggers: each is found by some request and by no other route's, and what it says can stand in a header.

use std::sync::Arc;

use super::super::{
    error::ConfigErrorKind,
    model::{Cors, Payload, Route, TriggerSettings},
    reader::{Node, Problem},
    routing::{RouteProblem, Router},
    sections::triggers::WrittenTrigger,
};

/// Methods that are never a route's: they are about the connection, not about what is at a path.
const NO_METHODS: [&str; 2] = ["CONNECT", "TRACE"];

/// Checks the routes of a trigger.
pub(super) fn routes(written: &WrittenTrigger<'_>) {
    let Some(TriggerSettings::Http(settings)) = written.trigger.as_ref().map(|trigger| &trigger.settings) else {
        return;
    };
    let nodes = &written.mentions.routes;
    for (index, problem) in Router::new(&settings.routes).1 {
        let Some(node) = nodes.get(index) else { continue };
        // A path that could not be read was reported by whoever read it.
        if settings.routes.get(index).is_some_and(|route| !route.path.is_empty()) {
            report(&problem, node, nodes, &settings.routes);
        }
    }
    for (route, node) in settings.routes.iter().zip(nodes) {
        words(route, node);
        if let (Some(cors), Some(node)) = (&route.cors, node.entry("cors")) {
            pages(cors, &node);
        }
    }
}

fn report(problem: &RouteProblem, node: &Node<'_>, nodes: &[Node<'_>], routes: &[Arc<Route>]) {
    let (kind, key, expected, hint) = match problem {
        RouteProblem::Taken { first, .. } => {
            let place = nodes.get(*first).map(|first| format!("the other route is {}", first.place_for(node)));
            (ConfigErrorKind::Duplicate, "path", "one route for each path, method and host", place)
        }
        RouteProblem::Ambiguous { with } => {
            let other = routes.iter().zip(nodes).find(|(route, _)| route.path == *with);
            let place = other.map(|(_, other)| format!("the other route is {}; ", other.place_for(node)));
            let hint = "where two routes differ by method only, their paths are written alike";
            let hint = place.unwrap_or_default() + hint;
            (ConfigErrorKind::Conflict, "path", "paths of which one belongs to one route", Some(hint))
        }
        RouteProblem::Pattern(_) => {
            (ConfigErrorKind::BadValue, "path", "a path such as \"/hello/{name}\" or \"/files/{*rest}\"", None)
        }
        RouteProblem::NoParameter { key, .. } => {
            (ConfigErrorKind::UnknownName, *key, "a name, or a parameter of the route's path", None)
        }
    };
    let at = node.entry(key).unwrap_or_else(|| node.clone());
    at.problem::<()>(Problem { kind, found: problem.to_string(), expected: expected.to_owned(), hint });
}

/// Texts that are compared with, or become part of, a head.
fn words(route: &Route, node: &Node<'_>) {
    each(node, "methods", "a method, such as \"GET\"; CONNECT and TRACE are none of a route", |text| {
        token(text) && !NO_METHODS.contains(&&*text.to_ascii_uppercase())
    });
    each(node, "hosts", "a host without a port, such as \"example.com\" or \"*.example.com\"", is_host);
    each(node, "modules", "the name of a module", |name| !name.is_empty());
    each(node, "operations", "the name of an operation", |name| !name.is_empty());
    if let (Payload::Raw { content_type: Some(text) }, Some(node)) = (&route.payload, node.entry("content_type"))
        && !(text.contains('/') && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()))
    {
        node.bad::<()>(ConfigErrorKind::BadValue, "a content type, such as \"application/json\"", None);
    }
}

fn pages(cors: &Cors, node: &Node<'_>) {
    let every = cors.origins.iter().any(|origin| origin == "*");
    each(node, "origins", "an origin, such as \"https://example.com\", or \"*\" alone", |origin| {
        if origin == "*" { cors.origins.len() == 1 } else { is_origin(origin) }
    });
    each(node, "headers", "the name of a header", token);
    each(node, "expose", "the name of a header", token);
    if every
        && cors.credentials
        && let Some(node) = node.entry("credentials")
    {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "`credentials` beside `origins = [\"*\"]`".to_owned(),
            expected: "origins by name: every page of the web could act as whoever looks at it".to_owned(),
            hint: None,
        });
    }
}

/// Checks the texts of a list, which has at least one: an empty one would look like "all", and mean nothing.
fn each(node: &Node<'_>, key: &str, expected: &str, right: impl Fn(&str) -> bool) {
    let Some(list) = node.entry(key).filter(Node::is_list) else { return };
    let items = list.list(expected).unwrap_or_default();
    if items.is_empty() {
        list.bad::<()>(ConfigErrorKind::BadValue, format!("at least one: {expected}"), None);
    }
    for item in items.iter().filter(|item| item.is_text()) {
        if item.text(expected).is_some_and(|text| !right(text)) {
            item.bad::<()>(ConfigErrorKind::BadValue, expected, None);
        }
    }
}

fn token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    name.split('.').all(label) || address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Scheme, host and perhaps a port, as browsers send them: in lower case and without a slash at the end.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    token(scheme)
        && !host.starts_with("*.")
        && is_host(host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}
