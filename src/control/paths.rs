//! The table of the control API: every path with its methods, the right that each needs, and what answers.
//!
//! A method cannot be entered without its right, and the check stands before the handler: what is refused has not been
//! read any further than its head.

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError as _, Route,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::{Next, from_fn},
    web,
};

use super::{
    access::Right,
    changes, feed, messages, metrics,
    peer::Peer,
    problem::{Kind, Problem},
    routes::{self, Api},
    triggers,
};

/// One method of one path.
struct Entry {
    method: Method,
    path: &'static str,
    right: Right,
    /// Gives a route its handler.
    answer: fn(Route) -> Route,
}

/// The methods that the API has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }

    fn route(self) -> Route {
        match self {
            Self::Get => web::get(),
            Self::Post => web::post(),
        }
    }
}

/// A question about the daemon.
const fn read(path: &'static str, answer: fn(Route) -> Route) -> Entry {
    Entry { method: Method::Get, path, right: Right::Read, answer }
}

/// What needs the right to operate.
const fn operate(method: Method, path: &'static str, answer: fn(Route) -> Route) -> Entry {
    Entry { method, path, right: Right::Operate, answer }
}

/// The whole API. Entries of one path stand together.
const TABLE: &[Entry] = &[
    #[cfg(feature = "fault-injection")]
    operate(Method::Post, "/v1/workers/{worker}/end", |route| route.to(routes::end_worker)),
    #[cfg(feature = "fault-injection")]
    read("/v1/crossings", |route| route.to(routes::crossings)),
    #[cfg(feature = "fault-injection")]
    operate(Method::Post, "/v1/patience/{milliseconds}", |route| route.to(routes::set_patience)),
    read("/v1/status", |route| route.to(routes::status)),
    read("/v1/modules", |route| route.to(routes::modules)),
    read("/v1/bindings", |route| route.to(routes::bindings)),
    // Messages are what modules tell each other, and not what the daemon says of itself.
    operate(Method::Get, "/v1/bindings/{name}/messages", |route| route.to(messages::listen)),
    operate(Method::Post, "/v1/bindings/{name}/messages", |route| route.to(messages::publish)),
    read("/v1/triggers", |route| route.to(triggers::triggers)),
    read("/v1/triggers/{name}", |route| route.to(triggers::trigger)),
    operate(Method::Post, "/v1/triggers/{name}/{action:start|stop|restart}", |route| route.to(triggers::act)),
    operate(Method::Post, "/v1/triggers/{name}/run", |route| route.to(triggers::run)),
    read("/v1/events", |route| route.to(feed::events)),
    read("/v1/modules/{name}", |route| route.to(routes::module)),
    operate(Method::Post, "/v1/modules/{name}/{action:start|stop|restart}", |route| route.to(routes::act)),
    operate(Method::Post, "/v1/modules/{name}/swap", |route| route.to(changes::swap)),
    operate(Method::Post, "/v1/modules/{name}/rollback", |route| route.to(changes::roll_back)),
    operate(Method::Post, "/v1/reload", |route| route.to(changes::reload)),
    operate(Method::Post, "/v1/modules/{name}/call", |route| route.to(routes::call)),
    operate(Method::Post, "/v1/modules/{name}/call/{operation:.*}", |route| route.to(routes::call)),
    read(METRICS, |route| route.to(metrics::metrics)),
];

/// The path of the metrics, which is all that is served over TCP.
const METRICS: &str = "/metrics";

/// Enters all paths into the application.
pub(super) fn configure(app: &mut web::ServiceConfig) {
    for of_path in TABLE.chunk_by(|one, next| one.path == next.path) {
        let Some(first) = of_path.first() else { continue };
        let mut resource = web::resource(first.path);
        for Entry { method, right, answer, .. } in of_path {
            let right = *right;
            let checked = from_fn(move |request, next| check(right, request, next));
            resource = resource.route(answer(method.route()).wrap(checked));
        }
        let methods: Vec<&str> = of_path.iter().map(|entry| entry.method.as_str()).collect();
        app.service(resource.default_service(method_not_allowed(methods.join(", "))));
    }
    app.default_service(web::to(not_found));
}

/// Enters the path of the metrics alone, for everyone who reaches it.
pub(super) fn configure_metrics(app: &mut web::ServiceConfig) {
    let metrics = web::resource(METRICS).route(web::get().to(metrics::metrics));
    app.service(metrics.default_service(method_not_allowed(Method::Get.as_str().to_owned())))
        .default_service(web::to(not_found));
}

/// Lets through what whoever has connected may do.
async fn check(
    right: Right,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let peer = request.conn_data::<Result<Peer, String>>().cloned();
    let peer = peer.unwrap_or_else(|| Err("the connection has no credentials".to_owned()));
    let allowed = match request.app_data::<web::Data<Api>>() {
        Some(api) => api.access.check(&peer, right).map_err(|denied| Problem::new(Kind::Forbidden, denied.to_string())),
        None => Err(Problem::new(Kind::Internal, "the server has no settings")),
    };
    match allowed {
        Ok(()) => Ok(next.call(request).await?.map_into_boxed_body()),
        Err(problem) => {
            tracing::debug!(method = %request.method(), path = request.path(), %problem, "control request denied");
            Ok(request.into_response(problem.error_response()))
        }
    }
}

async fn not_found(request: HttpRequest) -> Problem {
    routes::nothing_at(&request)
}

/// What answers at a path to other methods than those.
fn method_not_allowed(allowed: String) -> Route {
    web::to(move || {
        let problem = Problem::new(Kind::MethodNotAllowed, format!("this path takes {allowed} only"));
        let mut response: HttpResponse = problem.error_response();
        // Names of methods always are header values.
        if let Ok(value) = header::HeaderValue::from_str(&allowed) {
            response.headers_mut().insert(header::ALLOW, value);
        }
        std::future::ready(response)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/control.md"));

    /// An entry as the document has it: path, method, right.
    type Row = (String, String, String);

    /// The rows of an entry: a name in capitals for what varies, and a row for each alternative.
    fn rows_of(entry: &Entry) -> Vec<Row> {
        let path = entry.path.replace("{name}", "NAME").replace("{operation:.*}", "OPERATION");
        let alternatives = |path: String| match path.split_once("{action:") {
            Some((before, rest)) => {
                rest.trim_end_matches('}').split('|').map(|action| format!("{before}{action}")).collect()
            }
            None => vec![path],
        };
        let row = |path| (path, entry.method.as_str().to_owned(), entry.right.as_str().to_owned());
        alternatives(path).into_iter().map(row).collect()
    }

    #[test]
    fn the_document_has_every_path_with_its_method_and_right_and_no_other() {
        // An operation in the header is told in the text below the table.
        let only_here =
            ["/v1/workers/{worker}/end", "/v1/crossings", "/v1/patience/{milliseconds}", "/v1/modules/{name}/call"];
        let entries = TABLE.iter().filter(|entry| !only_here.contains(&entry.path));
        let expected: BTreeSet<Row> = entries.flat_map(rows_of).collect();
        let table = DOCUMENT.split("\n## ").find(|part| part.starts_with("Paths\n")).unwrap();
        let cells =
            |line: &str| line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>();
        let rows = table.lines().filter(|line| line.starts_with("| `/")).map(cells);
        let found: BTreeSet<Row> = rows.map(|row| (row[1].clone(), row[2].clone(), row[3].clone())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn entries_of_one_path_stand_together() {
        let paths: Vec<&str> = TABLE.chunk_by(|one, next| one.path == next.path).map(|of| of[0].path).collect();
        assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len(), "{paths:?}");
    }

    #[test]
    fn what_is_not_a_question_takes_an_operator() {
        for entry in TABLE {
            let reads = entry.method == Method::Get && !entry.path.ends_with("/messages");
            assert_eq!(entry.right == Right::Read, reads, "{}", entry.path);
        }
    }
}
