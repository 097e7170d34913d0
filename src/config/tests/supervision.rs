//! How children are stopped, asked, limited and restarted, and where metrics are read: what is accepted, and every mistake.

use std::time::Duration;

use super::{
    super::{HealthCheck, ModuleHealth, RateLimit, Shutdown},
    good,
    mistakes::{Mistake, expect_with},
};

const MODULE: &str = "[modules.a]\npath = \"a\"\n";
const BINDING: &str = "[bindings.a]\ntype = \"keyvalue\"\n";
const MILLISECOND: Duration = Duration::from_millis(1);

fn module(text: &str) -> super::super::Module {
    good(&format!("{MODULE}{text}")).modules.remove(0)
}

fn binding(text: &str) -> super::super::Binding {
    good(&format!("{BINDING}{text}")).bindings.remove(0)
}

/// Mistakes below `[modules.a]`; lines count from the first below its path.
fn in_module(mistakes: &[Mistake<'_>]) {
    expect_with(MODULE, mistakes);
}

#[test]
fn shutdown_is_a_time_or_one_of_two_words() {
    for (text, shutdown) in [
        ("\"1ms\"", Shutdown::After(MILLISECOND)),
        ("\"1h\"", Shutdown::After(Duration::from_secs(3600))),
        ("\"kill\"", Shutdown::Kill),
        ("\"infinity\"", Shutdown::Infinity),
    ] {
        assert_eq!(module(&format!("shutdown = {text}\n")).shutdown, shutdown);
        assert_eq!(binding(&format!("shutdown = {text}\n")).shutdown, shutdown);
    }
    assert_eq!((module("").shutdown, binding("").shutdown), (Shutdown::Infinity, Shutdown::After(5000 * MILLISECOND)));
}

#[test]
fn a_rate_limit_needs_its_calls_only() {
    let limit = |text: &str| module(&format!("rate_limit = {{ {text} }}\n")).rate_limit.unwrap();
    let seconds = Duration::from_secs;
    assert_eq!(limit("calls = 100"), RateLimit { calls: 100, per: seconds(1), burst: 100 });
    let all = RateLimit { calls: 1, per: seconds(60), burst: 10_000_000 };
    assert_eq!(limit("calls = 1, per = \"1m\", burst = 10_000_000"), all);
    assert_eq!(module("").rate_limit, None);
}

#[test]
fn a_health_check_needs_its_operation_only_and_is_a_table_of_either_form() {
    let inline = module("health = { operation = \"health\" }\n").health;
    assert_eq!(inline, Some(ModuleHealth { operation: "health".to_owned(), check: HealthCheck::default() }));
    assert_eq!(module("[modules.a.health]\noperation = \"health\"\n").health, inline);
    assert_eq!((module("").health, binding("").health), (None, None));
    assert_eq!(binding("health = {}\n").health, Some(HealthCheck::default()));
}

#[test]
fn a_timeout_that_is_not_written_gives_way_to_what_is_shorter() {
    let timeout = |text: &str| module(text).health.unwrap().check.timeout;
    assert_eq!(timeout("health = { operation = \"o\", interval = \"10ms\" }\n"), 10 * MILLISECOND);
    assert_eq!(timeout("health = { operation = \"o\" }\nlimits.call_timeout = \"300ms\"\n"), 300 * MILLISECOND);
    assert_eq!(timeout("health = { operation = \"o\", timeout = \"5s\" }\n"), 5000 * MILLISECOND);
    assert_eq!(binding("health.interval = \"20ms\"\n").health.unwrap().timeout, 20 * MILLISECOND);
}

#[test]
fn a_bindings_restart_stands_over_the_defaults_key_by_key() {
    let text = format!("defaults.restart = {{ intensity = 7, period = \"9s\" }}\n{BINDING}restart.period = \"8s\"\n");
    let restart = good(&text).bindings.remove(0).restart;
    assert_eq!((restart.intensity, restart.period), (7, 8000 * MILLISECOND));
}

#[test]
fn metrics_listen_on_an_address_of_either_family() {
    for address in ["127.0.0.1:9464", "0.0.0.0:0", "[::1]:9464", "[::]:65535"] {
        let config = good(&format!("[metrics]\nlisten = \"{address}\"\n"));
        assert_eq!(config.metrics.listen, Some(address.parse().unwrap()));
    }
    assert_eq!(good("[metrics]\n").metrics.listen, None);
}

#[test]
fn addresses_that_are_none_are_refused_with_what_was_meant() {
    let listen: &[(&str, &[&str])] = &[
        ("9464", &["the number 9464", "an IP address and a port"]),
        ("\"9464\"", &["found \"9464\"", "\"127.0.0.1:9464\"", "\"[::]:9464\""]),
        ("\":9464\"", &["found \":9464\"", "on this machine only: \"127.0.0.1:9464\""]),
        ("\"localhost:9464\"", &["names are not looked up: write the address of `localhost`"]),
        ("\"metrics.example.org:80\"", &["names are not looked up"]),
        ("\"localhost\"", &["an IP address and a port"]),
        ("\"127.0.0.1\"", &["a port is missing: \"127.0.0.1:9464\""]),
        ("\"127.0.0.1:99999\"", &["a port is a number from 0 to 65535"]),
        ("\"127.0.0.1:\"", &["an IP address and a port"]),
        ("\"::1\"", &["in brackets", "\"[::1]:9464\""]),
        ("\"2001:db8::7:9000\"", &["\"[2001:db8::7]:9000\""]),
        ("\"*:9464\"", &["an IP address and a port"]),
        ("\"\"", &["found \"\""]),
        ("\"http://127.0.0.1:9464/metrics\"", &["an IP address and a port"]),
        ("[\"127.0.0.1:9464\"]", &["found a list"]),
    ];
    for (value, words) in listen {
        let text = format!("[metrics]\nlisten = {value}\n");
        expect_with("", &[(&text, "2:10", "metrics.listen", words)]);
    }
    expect_with(
        "",
        &[
            ("[metrics]\nport = 9464\n", "2:1", "metrics.port", &["unknown key", "`listen`"]),
            ("metrics = \"127.0.0.1:9464\"\n", "1:11", "metrics", &["a table, [metrics]"]),
        ],
    );
}

#[test]
fn stops_and_waits_that_cannot_be_are_refused() {
    in_module(&[
        (
            "shutdown = \"0s\"\n",
            "1:12",
            "modules.a.shutdown",
            &["\"kill\" or \"infinity\" or a time", "from 1ms to 1h"],
        ),
        ("shutdown = \"2h\"\n", "1:12", "modules.a.shutdown", &["from 1ms to 1h"]),
        ("shutdown = 5\n", "1:12", "modules.a.shutdown", &["the number 5", "\"5s\""]),
        ("shutdown = \"infinite\"\n", "1:12", "modules.a.shutdown", &["did you mean `infinity`?"]),
        ("shutdown = \"Kill\"\n", "1:12", "modules.a.shutdown", &["did you mean `kill`?"]),
        ("shutdown = \"brutal_kill\"\n", "1:12", "modules.a.shutdown", &["\"kill\" or \"infinity\" or a time"]),
        ("shutdown = true\n", "1:12", "modules.a.shutdown", &["found true", "\"kill\" or"]),
        ("binding_wait = \"0s\"\n", "1:16", "modules.a.binding_wait", &["from 1ms to 1h"]),
        ("binding_wait = \"infinity\"\n", "1:16", "modules.a.binding_wait", &["a time with its unit"]),
    ]);
    expect_with(BINDING, &[("shutdown = \"61m\"\n", "1:12", "bindings.a.shutdown", &["from 1ms to 1h"])]);
}

#[test]
fn rate_limits_that_limit_nothing_or_everything_are_refused() {
    in_module(&[
        ("rate_limit = 100\n", "1:14", "modules.a.rate_limit", &["the number 100", "a table { calls, per, burst }"]),
        ("rate_limit = { per = \"1s\" }\n", "1:14", "modules.a.rate_limit.calls", &["no such key", "a number"]),
        ("rate_limit = { calls = 0 }\n", "1:24", "modules.a.rate_limit.calls", &["from 1 to 10000000"]),
        ("rate_limit = { calls = \"100\" }\n", "1:24", "modules.a.rate_limit.calls", &["without quotes: 100"]),
        ("rate_limit = { calls = 1, per = \"0s\" }\n", "1:33", "modules.a.rate_limit.per", &["from 1ms to 1d"]),
        ("rate_limit = { calls = 1, per = 1 }\n", "1:33", "modules.a.rate_limit.per", &["\"1s\""]),
        ("rate_limit = { calls = 1, burst = 0 }\n", "1:35", "modules.a.rate_limit.burst", &["from 1 to"]),
        ("rate_limit = { call = 1, calls = 1 }\n", "1:16", "modules.a.rate_limit.call", &["did you mean `calls`?"]),
    ]);
}

#[test]
fn health_checks_that_cannot_be_are_refused() {
    in_module(&[
        ("health = \"health\"\n", "1:10", "modules.a.health", &["a table { operation, interval, timeout, failures }"]),
        ("health = {}\n", "1:10", "modules.a.health.operation", &["no such key", "the guest's operation"]),
        ("health = { operation = \"\" }\n", "1:24", "modules.a.health.operation", &["the name of an operation"]),
        ("health = { operation = 1 }\n", "1:24", "modules.a.health.operation", &["the number 1"]),
        (
            "health = { operation = \"o\", interval = \"9ms\" }\n",
            "1:40",
            "modules.a.health.interval",
            &["from 10ms to 1d"],
        ),
        (
            "health = { operation = \"o\", interval = \"2s\", timeout = \"3s\" }\n",
            "1:56",
            "modules.a.health.timeout",
            &["a timeout of 3s, longer than the interval of 2s", "no longer than `interval`"],
        ),
        (
            "health = { operation = \"o\", timeout = \"6s\" }\n",
            "1:39",
            "modules.a.health.timeout",
            &["a timeout of 6s, longer than the module's call_timeout of 5s"],
        ),
        (
            "health = { operation = \"o\", timeout = \"600ms\" }\nlimits.call_timeout = \"500ms\"\n",
            "1:39",
            "modules.a.health.timeout",
            &["a timeout of 600ms, longer than the module's call_timeout of 500ms"],
        ),
        ("health = { operation = \"o\", failures = 0 }\n", "1:40", "modules.a.health.failures", &["from 1 to 1000"]),
        ("health = { operation = \"o\", every = \"1s\" }\n", "1:29", "modules.a.health.every", &["unknown key"]),
    ]);
    expect_with(
        BINDING,
        &[
            (
                "backend = \"memory\"\nhealth = {}\n",
                "2:10",
                "bindings.a.health",
                &["a binding whose backend cannot be asked", "a database, a directory, a server"],
            ),
            (
                "health = { operation = \"get\" }\n",
                "1:12",
                "bindings.a.health.operation",
                &["one of `interval`, `timeout`, `failures`"],
            ),
            (
                "health = { timeout = \"11s\" }\n",
                "1:22",
                "bindings.a.health.timeout",
                &["a timeout of 11s, longer than the interval of 10s"],
            ),
            ("restart = { intensity = -1 }\n", "1:25", "bindings.a.restart.intensity", &["from 0 to 10000"]),
            ("restart = \"never\"\n", "1:11", "bindings.a.restart", &["a table"]),
        ],
    );
}

#[test]
fn bindings_without_a_backend_have_nothing_to_restart_stop_or_ask() {
    expect_with(
        "[bindings.l]\ntype = \"log\"\n",
        &[
            (
                "restart.type = \"temporary\"\n",
                "1:1",
                "bindings.l.restart",
                &["`restart` on a binding of type \"log\"", "with a backend that can fail"],
            ),
            ("shutdown = \"kill\"\n", "1:1", "bindings.l.shutdown", &["`shutdown` on a binding of type \"log\""]),
            ("health = {}\n", "1:1", "bindings.l.health", &["`health` on a binding of type \"log\""]),
        ],
    );
    expect_with(
        "[bindings.m]\ntype = \"module\"\n",
        &[("shutdown = \"1s\"\n", "1:1", "bindings.m.shutdown", &["of type \"module\""])],
    );
}

#[cfg(feature = "fault-injection")]
#[test]
fn the_binding_that_breaks_as_it_is_told_is_supervised_as_others_are() {
    let text = "[bindings.f]\ntype = \"faulty\"\nshutdown = \"kill\"\nhealth = {}\nrestart.type = \"transient\"\n\
                [groups.g]\nmembers = [\"f\"]\n";
    let config = good(text);
    let faulty = &config.bindings[0];
    assert_eq!((faulty.shutdown, faulty.health), (Shutdown::Kill, Some(HealthCheck::default())));
    assert_eq!(config.groups[0].members, [super::super::Member::Binding("f".into())]);
}
