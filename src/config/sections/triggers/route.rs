//! `[[triggers.NAME.routes]]`: one route each.

use std::sync::Arc;

use super::{FORMATS, Mentions, Places, module_name, operation};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{Authentication, Cors, Payload, PayloadFormat, Route, Template},
    reader::{Node, Problem, Section},
    sections::bindings::secret_source,
};

/// Reads the routes of a trigger; those with a problem are left out.
pub(super) fn read_all<'d>(
    node: &Node<'d>,
    places: Places<'_>,
    mentions: &mut Mentions<'d>,
) -> Option<Vec<Arc<Route>>> {
    let items = node.list("a list of routes, [[triggers.NAME.routes]]")?;
    let mut routes = Vec::new();
    for item in items {
        if let Some(route) = read(&item, places, mentions) {
            mentions.routes.push(item);
            routes.push(Arc::new(route));
        }
    }
    Some(routes)
}

fn read<'d>(node: &Node<'d>, places: Places<'_>, mentions: &mut Mentions<'d>) -> Option<Route> {
    let section = node.section("a table with a route's path, module and operation")?;
    let path = section.require("path", "the path, such as \"/hello/{name}\"").and_then(|node| path(&node));
    let module = section.require("module", "the module, or a parameter of the path as \"{name}\"");
    let module = module.and_then(|node| match parameter(&node) {
        Some(parameter) => Some(Template::Parameter(parameter)),
        None => module_name(&node, mentions).map(Template::Fixed),
    });
    let called = section.require("operation", "the guest's operation, or a parameter of the path as \"{op}\"");
    let called = called.and_then(|node| match parameter(&node) {
        Some(parameter) => Some(Template::Parameter(parameter)),
        None => operation(&node).map(|text| Template::Fixed(text.into())),
    });
    names_nothing(&section, ("modules", "module"), module.as_ref());
    names_nothing(&section, ("operations", "operation"), called.as_ref());
    let route = Route {
        methods: section.or("methods", Vec::new(), methods),
        hosts: section.or("hosts", Vec::new(), |node| {
            Some(texts(node)?.into_iter().map(|host| host.to_ascii_lowercase()).collect())
        }),
        modules: section.or("modules", None, |node| {
            let items = node.list("a list of names of modules")?;
            Some(Some(items.iter().filter_map(|item| module_name(item, mentions)).collect()))
        }),
        operations: section.or("operations", None, |node| texts(node).map(Some)),
        payload: payload(&section),
        max_body: section.or("max_body", None, |node| node.size(&bounds::PAYLOAD).map(Some)),
        timeout: section.or("timeout", None, |node| node.time(&bounds::CALL_TIMEOUT).map(Some)),
        error_status: section.or("error_status", defaults::ROUTE_ERROR_STATUS, status),
        authentication: section.or("authentication", None, |node| authentication(node, places).map(Some)),
        cors: section.or("cors", None, |node| cors(node).map(Some)),
        path: path.unwrap_or_default(),
        module: module.unwrap_or(Template::Fixed("".into())),
        operation: called.unwrap_or(Template::Fixed("".into())),
    };
    section.finish();
    Some(route)
}

fn path(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "a path that begins with /, such as \"/hello/{name}\"";
    let text = node.text_without_nul(EXPECTED)?;
    if text.starts_with('/') { Some(text.to_owned()) } else { node.bad(ConfigErrorKind::BadValue, EXPECTED, None) }
}

/// A list of what a path may name has no meaning where it names nothing: the route would look narrower than it is.
fn names_nothing(section: &Section<'_>, (list, key): (&'static str, &str), named: Option<&Template>) {
    if let (Some(node), Some(Template::Fixed(name))) = (section.get(list), named) {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("`{list}` beside `{key} = {name:?}`, which no path changes"),
            expected: format!("it beside a parameter of the path only, such as `{key} = \"{{name}}\"`"),
            hint: None,
        });
    }
}

/// The parameter in `{name}`.
fn parameter(node: &Node<'_>) -> Option<Arc<str>> {
    if !node.is_text() {
        return None;
    }
    let name = node.text("a name")?.strip_prefix('{')?.strip_suffix('}')?;
    Some(name.into())
}

fn methods(node: &Node<'_>) -> Option<Vec<String>> {
    Some(texts(node)?.into_iter().map(|method| method.to_ascii_uppercase()).collect())
}

fn texts(node: &Node<'_>) -> Option<Vec<String>> {
    let items = node.list("a list of texts")?;
    Some(items.iter().filter_map(|item| item.text("a text")).map(str::to_owned).collect())
}

fn status(node: &Node<'_>) -> Option<u16> {
    node.count(&bounds::ROUTE_ERROR_STATUS).and_then(|status| u16::try_from(status).ok())
}

fn payload(section: &Section<'_>) -> Payload {
    #[derive(Clone, Copy, PartialEq)]
    enum Mode {
        Raw,
        Http,
    }
    let mode = section.or("payload", Mode::Raw, |node| node.choice(&[("raw", Mode::Raw), ("http", Mode::Http)]));
    let content_type = section.get("content_type");
    let format = section.get("format");
    match mode {
        Mode::Raw => {
            if let Some(node) = format {
                node.problem::<()>(only_of(&node, "payload = \"http\""));
            }
            let text = content_type.and_then(|node| node.text("a content type").map(str::to_owned));
            Payload::Raw { content_type: text }
        }
        Mode::Http => {
            if let Some(node) = content_type {
                node.problem::<()>(only_of(&node, "payload = \"raw\""));
            }
            Payload::Http(format.and_then(|node| node.choice(FORMATS)).unwrap_or(PayloadFormat::MessagePack))
        }
    }
}

fn only_of(node: &Node<'_>, mode: &str) -> Problem {
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("`{}`", node.path().rsplit('.').next().unwrap_or_default()),
        expected: format!("it beside {mode} only"),
        hint: None,
    }
}

fn authentication(node: &Node<'_>, places: Places<'_>) -> Option<Authentication> {
    const EXPECTED: &str = "{ token = { file = \"PATH\" } } or { basic = { file = \"PATH\" } }";
    let section = node.section(EXPECTED)?;
    let token = section.get("token").map(|node| secret_source::read(&node, places.directory));
    let basic = section.get("basic").map(|node| secret_source::read(&node, places.directory));
    section.finish();
    match (token, basic) {
        (Some(source), None) => source.map(Authentication::Token),
        (None, Some(source)) => source.map(Authentication::Basic),
        (found, _) => node.problem(Problem {
            kind: ConfigErrorKind::Conflict,
            found: if found.is_some() { "both `token` and `basic`" } else { "neither" }.to_owned(),
            expected: EXPECTED.to_owned(),
            hint: None,
        }),
    }
}

fn cors(node: &Node<'_>) -> Option<Cors> {
    let section = node.section("a table { origins, headers, expose, credentials, max_age }")?;
    let origins = section.require("origins", "the origins whose pages may call, such as \"https://example.com\"");
    let cors = Cors {
        headers: section.or("headers", Vec::new(), texts),
        expose: section.or("expose", Vec::new(), texts),
        credentials: section.or("credentials", false, Node::flag),
        max_age: section.or("max_age", defaults::CORS_MAX_AGE, |node| node.time(&bounds::CORS_MAX_AGE)),
        origins: origins.and_then(|node| texts(&node)).unwrap_or_default(),
    };
    section.finish();
    Some(cors)
}
