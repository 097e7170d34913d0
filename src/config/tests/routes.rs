//! Routes of `http` triggers: what is refused, and which route a path belongs to.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;

use super::{bad, good, mistakes::expect_with};
use crate::config::{HttpSettings, Payload, Route, RouteProblem, Router, Template, TriggerSettings};

const BEFORE: &str = "[modules.web]\npath = \"web.wasm\"\n[triggers.api]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n";

fn route(path: &str, keys: &str) -> String {
    format!("[[triggers.api.routes]]\npath = \"{path}\"\nmodule = \"web\"\noperation = \"run\"\n{keys}\n")
}

fn settings(routes: &str) -> HttpSettings {
    match &good(&format!("{BEFORE}{routes}")).triggers[0].settings {
        TriggerSettings::Http(settings) => settings.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn two_routes_that_say_the_same_are_refused_where_the_second_is() {
    let path = "triggers.api.routes[1].path";
    let second = |first: &str, second: &str| format!("{first}{second}");
    for (text, words) in [
        (second(&route("/a", ""), &route("/a", "")), "every method of \"/a\", which the 1. route takes"),
        (second(&route("/a", "methods = [\"GET\"]"), &route("/a", "methods = [\"PUT\", \"get\"]")), "GET \"/a\""),
        (second(&route("/a", "hosts = [\"A.b\"]"), &route("/a", "hosts = [\"c\", \"a.b\"]")), "the 1. route"),
        (second(&route("/a/{x}", ""), &route("/a/{y}", "methods = [\"GET\"]")), "\"/a/{x}\" of another route"),
        (second(&route("/{x}", ""), &route("/{*y}", "")), "\"/{x}\" of another route"),
    ] {
        let errors = bad(&format!("{BEFORE}{text}"));
        let report = errors.to_string();
        let found: Vec<_> = errors.iter().collect();
        assert_eq!((found.len(), found[0].key_path.as_str()), (1, path), "{report}");
        assert!(report.contains(words), "no {words:?} in {report}");
        let other = ["the other route is line 6", "the other route is line 7"];
        assert!(other.iter().any(|place| report.contains(place)), "{report}");
    }
}

#[test]
fn routes_that_differ_by_host_method_or_path_stand_beside_each_other() {
    settings(
        &[
            route("/a", ""),
            route("/a", "methods = [\"GET\"]"),
            route("/a", "hosts = [\"a.b\"]"),
            route("/a", "hosts = [\"*.a.b\"]"),
            route("/{name}", ""),
            route("/a/{*rest}", ""),
            route("/a/{{b}}", ""),
        ]
        .concat(),
    );
}

#[test]
fn mistakes_in_routes_are_reported_with_their_place() {
    let of = |path: &str, keys: &str| route(path, keys);
    let texts = [
        of("/a?b", ""),
        of("/grüße", ""),
        of("/{a}{b}", ""),
        of("/{*a}/b", ""),
        of("/{", ""),
        of("/a", "methods = [\"GE T\"]"),
        of("/a", "methods = [\"TRACE\"]"),
        of("/a", "methods = []"),
        of("/a", "hosts = [\"a:80\"]"),
        of("/a", "hosts = [\"a.*.b\"]"),
        of("/a", "content_type = \"text\""),
        of("/a", "content_type = \"text/a\\nb\""),
        of("/a", "cors = { origins = [\"https://a.b/\"] }"),
        of("/a", "cors = { origins = [\"*\", \"https://a.b\"] }"),
        of("/a", "cors = { origins = [\"*\"], credentials = true }"),
        of("/a", "cors = { origins = [\"https://a.b\"], headers = [\"x y\"] }"),
    ];
    let routes = "triggers.api.routes[0]";
    let below = |key: &str| format!("{routes}.{key}");
    let expected = [
        ("2:8", below("path"), "`?`"),
        ("2:8", below("path"), "percent-encoded"),
        ("2:8", below("path"), "two parameters in one segment"),
        ("2:8", below("path"), "something follows the rest"),
        ("2:8", below("path"), "a brace"),
        ("5:12", below("methods[0]"), "a method"),
        ("5:12", below("methods[0]"), "none of a route"),
        ("5:11", below("methods"), "at least one"),
        ("5:10", below("hosts[0]"), "without a port"),
        ("5:10", below("hosts[0]"), "a host"),
        ("5:16", below("content_type"), "a content type"),
        ("5:16", below("content_type"), "a content type"),
        ("5:21", below("cors.origins[0]"), "an origin"),
        ("5:21", below("cors.origins[0]"), "alone"),
        ("5:41", below("cors.credentials"), "origins by name"),
        ("5:48", below("cors.headers[0]"), "a header"),
    ];
    for (text, (place, key, word)) in texts.iter().zip(&expected) {
        expect_with(BEFORE, &[(text, place, key, &[word])]);
    }
}

#[test]
fn a_module_or_operation_out_of_the_path_needs_its_parameter() {
    let text = |keys: &str| format!("{BEFORE}[[triggers.api.routes]]\npath = \"/{{a}}/x{{{{b}}}}/{{*c}}\"\n{keys}\n");
    good(&text("module = \"{a}\"\noperation = \"{c}\""));
    let errors = bad(&text("module = \"{b}\"\noperation = \"{d}\""));
    let report = errors.to_string();
    let keys: Vec<_> = errors.iter().map(|error| error.key_path.clone()).collect();
    assert_eq!(keys, ["triggers.api.routes[0].module", "triggers.api.routes[0].operation"], "{report}");
    assert!(report.contains("the parameter {b}, which the path does not have"), "{report}");
}

#[test]
fn a_list_of_what_a_path_may_name_is_refused_beside_a_fixed_name() {
    let text = |keys: &str| format!("{BEFORE}[[triggers.api.routes]]\npath = \"/{{a}}\"\n{keys}\n");
    let lists = "modules = [\"web\"]\noperations = [\"run\"]\n";
    let errors = bad(&text(&format!("module = \"web\"\noperation = \"run\"\n{lists}")));
    let report = errors.to_string();
    let keys: Vec<_> = errors.iter().map(|error| error.key_path.clone()).collect();
    assert_eq!(keys, ["triggers.api.routes[0].modules", "triggers.api.routes[0].operations"], "{report}");
    assert!(report.contains("`operations` beside `operation = \"run\"`, which no path changes"), "{report}");
    good(&text("module = \"web\"\noperation = \"{a}\"\noperations = [\"run\"]"));
}

#[test]
fn one_socket_file_belongs_to_one_trigger_whatever_its_mode() {
    let other = "[triggers.other]\ntype = \"http\"\nlisten = { address = \"unix:a.sock\", mode = \"0666\" }\n";
    let report = bad(&format!("{}{other}", BEFORE.replace("127.0.0.1:0", "unix:a.sock"))).to_string();
    assert!(report.contains("which already belongs to the trigger `api`"), "{report}");
}

#[test]
fn a_listener_at_a_socket_of_the_daemon_itself_is_refused_with_both_named() {
    let control = "[control]\nsocket = \"/run/own/./control.sock\"\n";
    let unix = BEFORE.replace("127.0.0.1:0", "unix:/run/own/control.sock");
    let report = bad(&format!("{unix}{control}")).to_string();
    assert!(
        report.contains("the socket `unix:/run/own/control.sock`, where the daemon itself is by `control.socket`"),
        "{report}"
    );
    let metrics =
        |listen: &str, own: &str| format!("{}[metrics]\nlisten = \"{own}\"\n", BEFORE.replace("127.0.0.1:0", listen));
    for (listen, own) in
        [("127.0.0.1:9464", "127.0.0.1:9464"), ("0.0.0.0:9464", "127.0.0.1:9464"), ("[::1]:9464", "[::]:9464")]
    {
        let report = bad(&metrics(listen, own)).to_string();
        assert!(
            report.contains(&format!("the socket `{listen}`, where the daemon itself is by `metrics.listen`")),
            "{report}"
        );
    }
    for (listen, own) in
        [("127.0.0.1:9464", "127.0.0.1:9465"), ("127.0.0.1:0", "127.0.0.1:0"), ("127.0.0.2:9464", "127.0.0.1:9464")]
    {
        good(&metrics(listen, own));
    }
}

/// A route with nothing but a path and what it is found by.
fn plain(path: &str, methods: &[&str], hosts: &[&str]) -> Arc<Route> {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Arc::new(Route {
        path: path.to_owned(),
        methods: texts(methods),
        hosts: texts(hosts),
        module: Template::Fixed("web".into()),
        operation: Template::Fixed("run".into()),
        modules: None,
        operations: None,
        payload: Payload::Raw { content_type: None },
        max_body: None,
        timeout: None,
        error_status: 502,
        authentication: None,
        cors: None,
    })
}

/// How well a pattern fits a path, as the documentation has it: for each segment fixed text (0), a parameter (1), the rest
/// (2); the lesser list goes first. With the values of its parameters.
fn fit<'p>(pattern: &str, path: &'p str) -> Option<(Vec<u8>, Vec<&'p str>)> {
    let (mut ranks, mut values, mut rest) = (Vec::new(), Vec::new(), path);
    for segment in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        if segment.starts_with("{*") {
            ranks.push(2);
            values.push(rest);
            return (!rest.is_empty()).then_some((ranks, values));
        }
        let (sent, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match (segment.starts_with('{'), sent) {
            (true, "") => return None,
            (true, value) => {
                ranks.push(1);
                values.push(value);
            }
            (false, text) if text == segment => ranks.push(0),
            (false, _) => return None,
        }
        rest = behind;
    }
    rest.is_empty().then_some((ranks, values))
}

/// The slow way to find a route: looks at every one, for each class of hosts.
fn slow(routes: &[Arc<Route>], host: &str, path: &str, method: &str) -> (Option<usize>, bool) {
    let mut classes: Vec<String> = vec![host.to_owned()];
    classes.extend(host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..])));
    classes.push(String::new());
    for class in classes {
        let here = |route: &Route| match route.hosts.as_slice() {
            [] => class.is_empty(),
            hosts => hosts.contains(&class),
        };
        let fitting = routes.iter().filter(|route| here(route)).filter_map(|route| fit(&route.path, path));
        let Some((best, _)) = fitting.min() else { continue };
        let at_best =
            |route: &&Arc<Route>| here(route) && fit(&route.path, path).is_some_and(|(ranks, _)| ranks == best);
        let index = |wanted: &dyn Fn(&Route) -> bool| routes.iter().position(|route| at_best(&route) && wanted(route));
        let named = |method: &str| index(&|route| route.methods.iter().any(|known| known == method));
        let of_get = if method == "HEAD" { named("GET") } else { None };
        return (named(method).or(of_get).or(index(&|route| route.methods.is_empty())), true);
    }
    (None, false)
}

fn segment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "ab", "", "a.b", "%41", "{x}", "{x}"])
}

fn pattern() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 1..5), any::<bool>(), 0..4u8).prop_map(|(segments, slash, rest)| {
        let mut text = String::new();
        for (at, segment) in segments.iter().enumerate() {
            text += "/";
            // Names are those of their place, so that two patterns of one shape are one text.
            text += &segment.replace("{x}", &format!("{{p{at}}}"));
        }
        if rest == 0 { text + "/{*rest}" } else { text + if slash { "/" } else { "" } }
    })
}

fn path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "", "a.b", "%41", "c", "{x}", "..", "%2F"]);
    prop::collection::vec(segment, 1..6).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn routes() -> impl Strategy<Value = Vec<Arc<Route>>> {
    let methods = prop::sample::select(vec![&[][..], &["GET"], &["POST"], &["GET", "HEAD"]]);
    let hosts = prop::sample::select(vec![&[][..], &[], &["a.b.c"], &["*.b.c"], &["*.c"], &["a.b.c", "*.c"]]);
    let route = (pattern(), methods, hosts).prop_map(|(path, methods, hosts)| plain(&path, methods, hosts));
    prop::collection::vec(route, 1..20)
}

proptest! {
    // Each has forty paths, of which most belong to some route: ten thousand.
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_is_found_as_by_looking_at_every_route(all in routes(), paths in prop::collection::vec(path(), 40)) {
        // What would be refused is left out, as by an operator who mends the configuration.
        let (_, problems) = Router::new(&all);
        let wrong: BTreeSet<usize> = problems.iter().map(|(index, _)| *index).collect();
        let kept: Vec<_> = (0..all.len()).filter(|index| !wrong.contains(index)).map(|index| Arc::clone(&all[index])).collect();
        let (router, problems) = Router::new(&kept);
        prop_assert_eq!(problems, Vec::<(usize, RouteProblem)>::new());
        for path in &paths {
            for (host, method) in [("a.b.c", "GET"), ("x.b.c", "HEAD"), ("x.y.b.c", "POST"), ("c", "GET"), ("d", "PUT")] {
                let found = router.find(Some(host), path);
                let route = found.as_ref().and_then(|found| found.route(method));
                prop_assert_eq!((route, found.is_some()), slow(&kept, host, path, method), "{} {} {}", host, method, path);
                if let (Some(found), Some(route)) = (found, route) {
                    let values: Vec<_> = found.parameters.iter().map(|(_, value)| value).collect();
                    prop_assert_eq!(Some(values), fit(&kept[route].path, path).map(|(_, values)| values));
                }
            }
        }
    }
}

#[test]
fn one_among_a_thousand_routes_is_found_with_its_parameters() {
    let all: Vec<_> = (0..1000).map(|at| plain(&format!("/module-{at}/{{op}}"), &["POST"], &[])).collect();
    let (router, problems) = Router::new(&all);
    assert!(problems.is_empty());
    for at in [0, 1, 10, 100, 999] {
        let path = format!("/module-{at}/run");
        let found = router.find(None, &path).unwrap();
        assert_eq!((found.route("POST"), found.parameters.get("op")), (Some(at), Some("run")));
        assert_eq!((found.route("GET"), found.allow()), (None, "OPTIONS, POST"));
    }
    assert!(router.find(None, "/module-1000/run").is_none());
}
