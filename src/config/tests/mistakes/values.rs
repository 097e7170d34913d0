//! Values that are refused by themselves: sizes, times, numbers and words.

use super::{
    super::{super::EngineKind, with_engine},
    expect,
};

#[test]
fn sizes_are_refused_without_unit_and_out_of_bounds() {
    expect(&[
        (
            "[daemon]\nqueue_bytes = 64\n",
            "2:15",
            "daemon.queue_bytes",
            &["found the number 64", "a size with its unit", "write \"64 B\", \"64 KiB\" or \"64 MiB\""],
        ),
        ("[daemon]\nqueue_bytes = \"64\"\n", "2:15", "daemon.queue_bytes", &["found \"64\"", "\"64 MiB\""]),
        ("[daemon]\nqueue_bytes = \"64 mib\"\n", "2:15", "daemon.queue_bytes", &["`mib` is not a unit"]),
        ("[daemon]\nqueue_bytes = \"-1 B\"\n", "2:15", "daemon.queue_bytes", &["negative"]),
        ("[daemon]\nqueue_bytes = -1\n", "2:15", "daemon.queue_bytes", &["the number -1", "negative"]),
        ("[daemon]\nqueue_bytes = 1.5\n", "2:15", "daemon.queue_bytes", &["the number 1.5", "a size with its unit"]),
        ("[daemon]\nqueue_bytes = true\n", "2:15", "daemon.queue_bytes", &["found true"]),
        ("[daemon]\nguest_stack = \"63 KiB\"\n", "2:15", "daemon.guest_stack", &["from 64 KiB to 64 MiB"]),
        ("[daemon]\nguest_stack = \"65 MiB\"\n", "2:15", "daemon.guest_stack", &["from 64 KiB to 64 MiB"]),
        ("[defaults.limits]\nmemory = \"5 GiB\"\n", "2:10", "defaults.limits.memory", &["from 64 KiB to 4 GiB"]),
        (
            "[defaults.limits]\npayload = \"99999999999 TiB\"\n",
            "2:11",
            "defaults.limits.payload",
            &["larger than this machine can count"],
        ),
        ("[defaults.limits]\nresponse = \"0 B\"\n", "2:12", "defaults.limits.response", &["from 1 B to 1 GiB"]),
        ("[defaults.limits]\nmodule_size = []\n", "2:15", "defaults.limits.module_size", &["found a list"]),
        (
            "[bindings.c]\ntype = \"keyvalue\"\nmax_key = \"1 MiB\"\n",
            "3:11",
            "bindings.c.max_key",
            &["from 1 B to 64 KiB"],
        ),
        ("[bindings.c]\ntype = \"keyvalue\"\nmax_value = 4\n", "3:13", "bindings.c.max_value", &["\"4 MiB\""]),
        (
            "[bindings.c]\ntype = \"keyvalue\"\nbackend = \"memory\"\nmax_bytes = \"1 B\"\n",
            "4:13",
            "bindings.c.max_bytes",
            &["from 1 KiB to 1 TiB"],
        ),
    ]);
}

#[test]
fn times_are_refused_without_unit_and_out_of_bounds() {
    expect(&[
        (
            "[daemon]\nshutdown_grace = 30\n",
            "2:18",
            "daemon.shutdown_grace",
            &["found the number 30", "a time with its unit", "write \"30ms\", \"30s\" or \"30m\""],
        ),
        ("[daemon]\nshutdown_grace = \"2h\"\n", "2:18", "daemon.shutdown_grace", &["from 0s to 1h"]),
        ("[daemon]\nshutdown_grace = \"1.5s\"\n", "2:18", "daemon.shutdown_grace", &["fraction"]),
        ("[daemon]\nshutdown_grace = \"5 sec\"\n", "2:18", "daemon.shutdown_grace", &["`sec` is not a unit"]),
        ("[daemon]\nshutdown_grace = 1979-05-27\n", "2:18", "daemon.shutdown_grace", &["the date 1979-05-27"]),
        ("[defaults.limits]\ncall_timeout = \"0s\"\n", "2:16", "defaults.limits.call_timeout", &["from 1ms to 1d"]),
        (
            "[modules.a]\npath = \"a\"\nqueue_timeout = \"1m 30\"\n",
            "3:17",
            "modules.a.queue_timeout",
            &["write \"30ms\""],
        ),
        ("[defaults.restart]\nperiod = \"\"\n", "2:10", "defaults.restart.period", &["begins with a whole number"]),
        (
            "[defaults.restart]\nretry_failed = \"nevr\"\n",
            "2:16",
            "defaults.restart.retry_failed",
            &["\"never\" or a time with its unit"],
        ),
        ("[defaults.restart]\nretry_failed = 60\n", "2:16", "defaults.restart.retry_failed", &["\"60s\"", "never"]),
        (
            "[defaults.restart]\nbackoff.initial = \"40s\"\n",
            "2:1",
            "defaults.restart.backoff",
            &["an initial wait of 40s, longer than the longest of 30s"],
        ),
    ]);
}

#[test]
fn numbers_are_refused_out_of_bounds_and_as_other_types() {
    expect(&[
        ("[daemon]\nworkers = 0\n", "2:11", "daemon.workers", &["the number 0", "from 1 to 1024 or \"auto\""]),
        ("[daemon]\nworkers = 1025\n", "2:11", "daemon.workers", &["from 1 to 1024"]),
        ("[daemon]\nworkers = \"Auto\"\n", "2:11", "daemon.workers", &["did you mean `auto`?"]),
        ("[daemon]\nworkers = \"4\"\n", "2:11", "daemon.workers", &["written without quotes: 4"]),
        ("[daemon]\nworkers = 2.0\n", "2:11", "daemon.workers", &["the number 2.0"]),
        ("[modules.a]\npath = \"a\"\ninstances = 0\n", "3:13", "modules.a.instances", &["1 to 100000", "per-worker"]),
        ("[modules.a]\npath = \"a\"\ninstances = 100001\n", "3:13", "modules.a.instances", &["1 to 100000"]),
        ("[modules.a]\npath = \"a\"\ninstances = -1\n", "3:13", "modules.a.instances", &["the number -1"]),
        (
            "[modules.a]\npath = \"a\"\ninstances = 99999999999999999999\n",
            "3:13",
            "modules.a.instances",
            &["the number 99999999999999999999"],
        ),
        (
            "[modules.a]\npath = \"a\"\ninstances = \"per_worker\"\n",
            "3:13",
            "modules.a.instances",
            &["did you mean `per-worker`?"],
        ),
        ("[modules.a]\npath = \"a\"\nqueue = 0\n", "3:9", "modules.a.queue", &["from 1 to"]),
        ("[modules.a]\npath = \"a\"\nqueue = \"1024\"\n", "3:9", "modules.a.queue", &["found \"1024\"", "a number"]),
        ("[defaults.restart]\nintensity = -5\n", "2:13", "defaults.restart.intensity", &["from 0 to 10000"]),
        (
            "[defaults.restart]\nbackoff = { factor = 0.5 }\n",
            "2:22",
            "defaults.restart.backoff.factor",
            &["from 1 to 1000"],
        ),
        ("[defaults.restart]\nbackoff.factor = inf\n", "2:18", "defaults.restart.backoff.factor", &["the number inf"]),
        ("[defaults.restart]\nbackoff.jitter = nan\n", "2:18", "defaults.restart.backoff.jitter", &["from 0 to 1"]),
        ("[defaults.restart]\nbackoff.jitter = 1.1\n", "2:18", "defaults.restart.backoff.jitter", &["from 0 to 1"]),
        (
            "[defaults.limits]\ntable_elements = \"many\"\n",
            "2:18",
            "defaults.limits.table_elements",
            &["found \"many\"", "a number from 0"],
        ),
    ]);
}

#[test]
fn words_are_refused_with_the_words_that_exist() {
    expect(&[
        ("[logging]\nlevel = \"warning\"\n", "2:9", "logging.level", &["\"error\" or \"warn\" or \"info\""]),
        ("[logging]\nformat = \"journal\"\n", "2:10", "logging.format", &["did you mean `journald`?"]),
        (
            "[modules.a]\npath = \"a\"\nengine = \"pulley\"\n",
            "3:10",
            "modules.a.engine",
            &["`pulley`", "daemon.engine"],
        ),
        ("[daemon]\nengine = \"pully\"\n", "2:10", "daemon.engine", &["did you mean `pulley`?"]),
        (
            "[daemon]\nengine = \"pulley\"\n[modules.a]\npath = \"a\"\nengine = \"cranelift\"\n",
            "5:10",
            "modules.a.engine",
            &["`cranelift`", "`pulley`, on which all modules run"],
        ),
        (
            "[modules.a]\npath = \"a\"\nengine = \"cranlift\"\n",
            "3:10",
            "modules.a.engine",
            &["did you mean `cranelift`?"],
        ),
        ("[modules.a]\npath = \"a\"\non_full = \"drop\"\n", "3:11", "modules.a.on_full", &["\"reject\" or \"wait\""]),
        ("[modules.a]\npath = \"a\"\nlazy = \"yes\"\n", "3:8", "modules.a.lazy", &["found \"yes\"", "true or false"]),
        ("[defaults.restart]\ntype = \"always\"\n", "2:8", "defaults.restart.type", &["\"permanent\" or"]),
        ("[bindings.c]\ntype = \"redis\"\n", "2:8", "bindings.c.type", &["\"keyvalue\" or \"blob\" or"]),
        ("[bindings.c]\n", "1:1", "bindings.c.type", &["no such key", "\"keyvalue\""]),
        ("[bindings.c]\ntype = \"keyvalue\"\nbackend = \"reddb\"\n", "3:11", "bindings.c.backend", &["`redb`?"]),
        ("[control]\nsocket_mode = 660\n", "2:15", "control.socket_mode", &["the number 660", "such as \"0660\""]),
        ("[control]\nsocket_group = 12\n", "2:16", "control.socket_group", &["the number 12", "in quotes"]),
        ("[control]\nsocket_group = \"\"\n", "2:16", "control.socket_group", &["name or number of a group"]),
        (
            "[control]\nreaders = \"a\"\n",
            "2:11",
            "control.readers",
            &["a list, each item the name or number of a group"],
        ),
        ("[control]\noperators = [\"a\", \"a\"]\n", "2:19", "control.operators[1]", &["a second time"]),
        ("[control]\noperators = [\"\"]\n", "2:14", "control.operators[0]", &["name or number of a group"]),
        ("[control]\nsocket_mode = \"0980\"\n", "2:15", "control.socket_mode", &["octal"]),
        ("[control]\nsocket_mode = \"1777\"\n", "2:15", "control.socket_mode", &["to \"0777\""]),
        ("[control]\nsocket_mode = \"rw-rw----\"\n", "2:15", "control.socket_mode", &["octal"]),
    ]);
}

#[test]
fn a_module_that_names_another_engine_than_the_daemon_is_a_mistake_whatever_the_command_line_names() {
    let text = "[modules.a]\npath = \"a\"\nengine = \"pulley\"\n";
    for engine in [EngineKind::Cranelift, EngineKind::Pulley] {
        let refused = with_engine(engine, text).unwrap_err().to_string();
        assert!(refused.contains("expected `cranelift`, on which all modules run"), "{refused}");
    }
}
