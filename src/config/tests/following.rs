//! How files are followed, what may be dropped, and how new code takes over: what is accepted, and every mistake.

use std::{path::Path, time::Duration};

use super::{
    super::{DropIn, HandOver, Probation, Probe, Swap, Watch, WatchMode},
    good,
    mistakes::{Mistake, expect_with},
};

const MODULE: &str = "[modules.a]\npath = \"a\"\n";

fn swap(text: &str) -> Swap {
    good(&format!("{MODULE}swap = {{ {text} }}\n")).modules.remove(0).swap
}

#[test]
fn files_are_watched_and_the_configuration_is_not_unless_it_says_so() {
    let defaults =
        Watch { mode: WatchMode::Auto, settle: Duration::from_millis(50), poll: Duration::from_secs(2), config: false };
    assert_eq!((good("").watch, good("[watch]\n").watch), (defaults.clone(), defaults));
    let all = good("watch = { mode = \"poll\", settle = \"1m\", poll = \"100ms\", config = true }\n").watch;
    let minute = Duration::from_secs(60);
    assert_eq!(all, Watch { mode: WatchMode::Poll, settle: minute, poll: Duration::from_millis(100), config: true });
    assert_eq!(good("watch.mode = \"off\"\n").watch.mode, WatchMode::Off);
}

#[test]
fn the_section_alone_turns_the_drop_in_directory_on() {
    assert_eq!(good("").drop_in, None);
    let defaults = DropIn {
        dir: "/home/ada/state/wapcd/modules".into(),
        links: Vec::new(),
        owners: Vec::new(),
        groups: Vec::new(),
        allow_unsafe_permissions: false,
    };
    assert_eq!(good("[drop_in]\n").drop_in, Some(defaults));
}

#[test]
fn every_key_of_the_drop_in_directory_arrives() {
    let text = "[drop_in]\ndir = \"/srv/drop\"\nlinks = [\"cache\", \"log\"]\nowners = [\"deploy\", \"1000\"]\ngroups = [\"wapcd\"]\n\
                allow_unsafe_permissions = true\n[bindings.cache]\ntype = \"keyvalue\"\n";
    let drop_in = good(text).drop_in.unwrap();
    assert_eq!(drop_in.dir, Path::new("/srv/drop"));
    assert_eq!(drop_in.links.iter().map(|name| &**name).collect::<Vec<_>>(), ["cache", "log"]);
    assert_eq!((drop_in.owners, drop_in.groups), (vec!["deploy".into(), "1000".into()], vec!["wapcd".into()]));
    assert!(drop_in.allow_unsafe_permissions);
    let relative = good("daemon.state_dir = \"/s\"\ndrop_in.dir = \"in\"\n").drop_in.unwrap();
    assert_eq!(relative.dir, Path::new("/s/in"));
}

#[test]
fn every_key_of_a_swap_arrives() {
    assert_eq!(swap(""), Swap::default());
    let text = "probe = { operation = \"ping\", payload = \"hello\", expect = \"pong\" }, probation = \"1d\", \
                max_failures = 3, export = \"save\", import = \"load\"";
    let all = Swap {
        probe: Some(Probe { operation: "ping".into(), payload: "hello".into(), expect: Some("pong".into()) }),
        probation: Some(Probation { time: Duration::from_secs(86_400), max_failures: 3 }),
        hand_over: Some(HandOver { export: "save".into(), import: "load".into() }),
    };
    assert_eq!(swap(text), all);
    let probe = Probe { operation: "ping".into(), payload: String::new(), expect: None };
    assert_eq!(swap("probe = { operation = \"ping\" }").probe, Some(probe));
    assert_eq!(swap("probe = { operation = \"ping\", expect = \"\" }").probe.unwrap().expect.as_deref(), Some(""));
    assert_eq!(swap("probation = \"30s\"").probation.unwrap().max_failures, 0);
}

#[test]
fn a_lazy_module_has_what_any_other_has_for_its_swaps() {
    let text = format!("{MODULE}lazy = true\nswap = {{ probe.operation = \"o\", probation = \"1s\" }}\n");
    assert!(good(&text).modules[0].swap.probation.is_some());
}

#[test]
fn the_code_cache_is_turned_off_by_no_bytes() {
    let cache = |text: &str| good(text).daemon.code_cache;
    assert_eq!((cache(""), cache("daemon.code_cache = \"0 B\"\n")), (512 << 20, 0));
    assert_eq!(cache("daemon.code_cache = \"1 TiB\"\n"), 1 << 40);
}

/// Mistakes at the top of a file.
fn at_the_top(mistakes: &[Mistake<'_>]) {
    expect_with("", mistakes);
}

#[test]
fn watching_that_cannot_be_is_refused() {
    at_the_top(&[
        ("[watch]\nmode = \"inotify\"\n", "2:8", "watch.mode", &["\"auto\" or \"poll\" or \"off\""]),
        ("[watch]\nmode = \"pol\"\n", "2:8", "watch.mode", &["did you mean `poll`?"]),
        ("[watch]\nmode = false\n", "2:8", "watch.mode", &["found false"]),
        ("[watch]\nsettle = 50\n", "2:10", "watch.settle", &["\"50ms\""]),
        ("[watch]\nsettle = \"0s\"\n", "2:10", "watch.settle", &["from 1ms to 1m"]),
        ("[watch]\nsettle = \"2m\"\n", "2:10", "watch.settle", &["from 1ms to 1m"]),
        ("[watch]\npoll = \"50ms\"\n", "2:8", "watch.poll", &["from 100ms to 1h"]),
        ("[watch]\npoll = \"1d\"\n", "2:8", "watch.poll", &["from 100ms to 1h"]),
        ("[watch]\nconfig = \"yes\"\n", "2:10", "watch.config", &["true or false"]),
        ("[watch]\nsetle = \"1s\"\n", "2:1", "watch.setle", &["did you mean `settle`?"]),
        ("watch = \"auto\"\n", "1:9", "watch", &["a table, [watch]"]),
        (
            "[watch]\nmode = \"off\"\nconfig = true\n",
            "3:10",
            "watch.config",
            &["`config = true` beside `mode = \"off\"`", "leave `config` out"],
        ),
        ("[daemon]\ncode_cache = 0\n", "2:14", "daemon.code_cache", &["\"0 B\""]),
        ("[daemon]\ncode_cache = \"2 TiB\"\n", "2:14", "daemon.code_cache", &["from 0 B to 1 TiB"]),
    ]);
}

#[test]
fn drop_in_directories_that_cannot_be_are_refused() {
    at_the_top(&[
        ("[drop_in]\ndir = \"\"\n", "2:7", "drop_in.dir", &["a path"]),
        ("[drop_in]\ndirectory = \"x\"\n", "2:1", "drop_in.directory", &["unknown key", "`dir`"]),
        ("[drop_in]\nlinks = \"log\"\n", "2:9", "drop_in.links", &["a list, each item the name of a binding"]),
        (
            "[drop_in]\nlinks = [\"lgo\"]\n",
            "2:10",
            "drop_in.links[0]",
            &["no binding is called", "did you mean `log`?"],
        ),
        ("[drop_in]\nlinks = [\"log\", \"log\"]\n", "2:17", "drop_in.links[1]", &["\"log\" a second time"]),
        ("[drop_in]\nlinks = [\"\"]\n", "2:10", "drop_in.links[0]", &["the name of a binding"]),
        (
            "[drop_in]\nlinks = [{ to = \"log\" }]\n",
            "2:10",
            "drop_in.links[0]",
            &["found a table", "the name of a binding"],
        ),
        ("[drop_in]\nowners = [1000]\n", "2:11", "drop_in.owners[0]", &["the name or number of a user, in quotes"]),
        ("[drop_in]\nowners = \"root\"\n", "2:10", "drop_in.owners", &["a list"]),
        ("[drop_in]\nowners = [\"a\", \"a\"]\n", "2:16", "drop_in.owners[1]", &["every name once"]),
        ("[drop_in]\ngroups = [\"\"]\n", "2:11", "drop_in.groups[0]", &["the name or number of a group"]),
        ("[drop_in]\ngroups = [\"a\\u0000\"]\n", "2:11", "drop_in.groups[0]", &["NUL"]),
        ("[drop_in]\nallow_unsafe_permissions = 1\n", "2:28", "drop_in.allow_unsafe_permissions", &["true or false"]),
        ("[[drop_in]]\n", "1:1", "drop_in", &["found a list", "a table, [drop_in]"]),
    ]);
}

#[test]
fn a_broken_binding_is_not_reported_again_where_dropped_modules_may_link_to_it() {
    at_the_top(&[(
        "[drop_in]\nlinks = [\"cache\"]\n[bindings.cache]\ntype = \"redis\"\n",
        "4:8",
        "bindings.cache.type",
        &["\"redis\""],
    )]);
}

#[test]
fn swaps_that_cannot_be_are_refused() {
    let probe = "modules.a.swap.probe";
    expect_with(
        MODULE,
        &[
            ("swap = true\n", "1:8", "modules.a.swap", &["a table"]),
            ("swap = { probes = {} }\n", "1:10", "modules.a.swap.probes", &["did you mean `probe`?"]),
            ("swap = { probe = \"ping\" }\n", "1:18", probe, &["a table { operation, payload, expect }"]),
            ("swap = { probe = {} }\n", "1:18", "modules.a.swap.probe.operation", &["no such key"]),
            ("swap.probe.operation = \"\"\n", "1:24", "modules.a.swap.probe.operation", &["the name of one of"]),
            ("swap.probe.operation = 1\n", "1:24", "modules.a.swap.probe.operation", &["the number 1"]),
            (
                "swap.probe = { operation = \"o\", payload = 7 }\n",
                "1:43",
                "modules.a.swap.probe.payload",
                &["the number 7", "a text"],
            ),
            (
                "swap.probe = { operation = \"o\", expects = \"x\" }\n",
                "1:33",
                "modules.a.swap.probe.expects",
                &["did you mean `expect`?"],
            ),
            (
                "swap.probe = { operation = \"o\", payload = \"hello\" }\nlimits.payload = \"4 B\"\n",
                "1:43",
                "modules.a.swap.probe.payload",
                &["a text of 5 bytes, more than the module's limits.payload of 4 B"],
            ),
            (
                "swap.probe = { operation = \"o\", expect = \"hello\" }\nlimits.response = \"4 B\"\n",
                "1:42",
                "modules.a.swap.probe.expect",
                &["more than the module's limits.response of 4 B"],
            ),
            ("swap.probation = 30\n", "1:18", "modules.a.swap.probation", &["\"30s\""]),
            ("swap.probation = \"0s\"\n", "1:18", "modules.a.swap.probation", &["from 1ms to 1d"]),
            ("swap.probation = \"2d\"\n", "1:18", "modules.a.swap.probation", &["from 1ms to 1d"]),
            (
                "swap.max_failures = 2\n",
                "1:21",
                "modules.a.swap.max_failures",
                &["`max_failures` without `probation`", "write probation = \"30s\""],
            ),
            (
                "swap = { probation = \"1s\", max_failures = -1 }\n",
                "1:43",
                "modules.a.swap.max_failures",
                &["from 0 to 10000"],
            ),
            (
                "swap.export = \"save\"\n",
                "1:15",
                "modules.a.swap.export",
                &["`export` without `import`", "both or neither"],
            ),
            ("swap.import = \"load\"\n", "1:15", "modules.a.swap.import", &["`import` without `export`"]),
            ("swap = { export = \"\", import = \"l\" }\n", "1:19", "modules.a.swap.export", &["the name of one of"]),
            ("swap = { export = \"s\", import = [] }\n", "1:33", "modules.a.swap.import", &["found a list"]),
        ],
    );
}
