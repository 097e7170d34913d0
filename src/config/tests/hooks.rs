//! `on_start` and `on_stop` of a module: what is accepted, every mistake, and what a reload makes of them.

use std::{path::Path, time::Duration};

use super::{
    super::{OnStart, OnStop, defaults, dropped, plan},
    good,
    mistakes::expect_with,
};

const MODULE: &str = "[modules.a]\npath = \"a\"\n";

fn hooks(text: &str) -> (Option<OnStart>, Option<OnStop>) {
    let module = good(&format!("{MODULE}{text}\n")).modules.remove(0);
    (module.on_start, module.on_stop)
}

/// What an operation alone stands for.
fn plain() -> (Option<OnStart>, Option<OnStop>) {
    let (attempts, retry_delay) = (defaults::ON_START_ATTEMPTS, defaults::ON_START_RETRY_DELAY);
    let (operation, payload, timeout) = ("o".to_owned(), String::new(), None);
    let on_stop = OnStop { operation: operation.clone(), payload: payload.clone(), timeout };
    (Some(OnStart { operation, payload, attempts, retry_delay, timeout }), Some(on_stop))
}

#[test]
fn an_operation_alone_is_a_table_with_nothing_else() {
    assert_eq!(hooks(""), (None, None));
    assert_eq!(hooks("on_start = \"o\"\non_stop = \"o\""), plain());
    assert_eq!(hooks("on_start.operation = \"o\"\non_stop = { operation = \"o\" }"), plain());
    let text = "on_start = { operation = \"o\", payload = \"p\", attempts = 5, retry_delay = \"0s\", timeout = \"1d\" }\n\
                on_stop = { operation = \"o\", payload = \"p\", timeout = \"1ms\" }";
    let (on_start, on_stop) = hooks(text);
    let (operation, payload, day) = ("o".to_owned(), "p".to_owned(), Some(Duration::from_secs(86_400)));
    let expected =
        OnStop { operation: operation.clone(), payload: payload.clone(), timeout: Some(Duration::from_millis(1)) };
    assert_eq!(on_stop, Some(expected));
    assert_eq!(on_start, Some(OnStart { operation, payload, attempts: 5, retry_delay: Duration::ZERO, timeout: day }));
}

#[test]
fn hooks_that_cannot_be_are_refused() {
    let (start, stop) = ("modules.a.on_start", "modules.a.on_stop");
    let table = ["an operation, or a table { operation, payload, attempts, retry_delay, timeout }"];
    expect_with(
        MODULE,
        &[
            ("on_start = true\n", "1:12", start, &table),
            ("on_stop = 1\n", "1:11", stop, &["an operation, or a table { operation, payload, timeout }"]),
            ("on_start = \"\"\n", "1:12", start, &["the name of one of the guest's operations"]),
            ("on_stop = \"\"\n", "1:11", stop, &["the name of one of the guest's operations"]),
            ("on_start = {}\n", "1:12", "modules.a.on_start.operation", &["no such key"]),
            ("on_start.operation = \"\"\n", "1:22", "modules.a.on_start.operation", &["the name of one of"]),
            ("on_stop.operation = 7\n", "1:21", "modules.a.on_stop.operation", &["the number 7"]),
            (
                "on_start = { operation = \"o\", attempts = 0 }\n",
                "1:42",
                "modules.a.on_start.attempts",
                &["a number from 1 to 1000"],
            ),
            (
                "on_start = { operation = \"o\", retry_delay = 5 }\n",
                "1:45",
                "modules.a.on_start.retry_delay",
                &["a time with its unit"],
            ),
            (
                "on_stop = { operation = \"o\", timeout = \"0s\" }\n",
                "1:40",
                "modules.a.on_stop.timeout",
                &["from 1ms to 1d"],
            ),
            (
                "on_stop = { operation = \"o\", attempts = 2 }\n",
                "1:30",
                "modules.a.on_stop.attempts",
                &["one of `operation`, `payload`, `timeout`"],
            ),
            (
                "on_start = { operation = \"o\", payload = \"hello\" }\nlimits.payload = \"4 B\"\n",
                "1:41",
                "modules.a.on_start.payload",
                &["a text of 5 bytes, more than the module's limits.payload of 4 B"],
            ),
        ],
    );
}

#[test]
fn a_dropped_module_may_have_both() {
    let text = "on_start = \"o\"\n[on_stop]\noperation = \"o\"\n";
    let module = dropped("a", Path::new("/d/a.wasm"), Some((Path::new("/d/a.toml"), text)), &good("[drop_in]\n"));
    let module = module.unwrap();
    assert_eq!((module.on_start, module.on_stop), plain());
}

#[test]
fn a_change_of_them_touches_no_instance() {
    let old = good(&format!("{MODULE}on_stop = \"o\"\n"));
    let new = good(&format!("{MODULE}on_start = \"o\"\n"));
    let told: Vec<String> = plan(&old, &new).changes.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["adjust modules.a (on_start, on_stop)"]);
}
