//! Every kind of mistake, with the place and the words of its report.

use super::bad;

/// A text with one mistake: `line:column`, key path, and words that the report must hold.
pub(super) type Mistake<'t> = (&'t str, &'t str, &'t str, &'t [&'t str]);

fn expect(mistakes: &[Mistake<'_>]) {
    expect_with("", mistakes);
}

/// Checks texts that follow on whole lines without a mistake; the lines of their places count from there.
pub(super) fn expect_with(before: &str, mistakes: &[Mistake<'_>]) {
    let lines = before.matches('\n').count();
    for (text, place, key_path, words) in mistakes {
        let text = format!("{before}{text}");
        let errors = bad(&text);
        let report = errors.to_string();
        let found: Vec<_> = errors.iter().collect();
        assert_eq!(found.len(), 1, "one mistake, several reports:\n{report}\n--- text:\n{text}");
        let position = found[0].position.map(|at| format!("{}:{}", at.line - lines, at.column)).unwrap_or_default();
        assert_eq!((position.as_str(), found[0].key_path.as_str()), (*place, *key_path), "{report}\n--- text:\n{text}");
        assert!(report.starts_with("/etc/wapcd/wapcd.toml:"), "{report}");
        for word in *words {
            assert!(report.contains(word), "no {word:?} in:\n{report}\n--- text:\n{text}");
        }
    }
}

#[test]
fn text_that_is_not_toml_is_reported_with_its_place() {
    expect(&[
        ("[daemon]\nworkers = \n", "2:11", "", &["text that is not TOML"]),
        ("[daemon]\nworkers = auto\n", "2:11", "", &["not TOML", "quoted"]),
        ("[daemon\nworkers = 1\n", "1:8", "", &["not TOML", "`]`"]),
        ("x", "1:2", "", &["not TOML", "`=`"]),
        ("[modules.a]\npath = \"a.wasm", "2:15", "", &["not TOML", "`\"`"]),
    ]);
}

#[test]
fn what_is_there_twice_is_reported_at_its_second_place() {
    expect(&[
        ("[daemon]\nworkers = 1\nworkers = 2\n", "3:1", "daemon.workers", &["already there", "once"]),
        ("[modules.a]\npath = \"a\"\n\n[modules.a]\nlazy = true\n", "4:10", "modules.a", &["already there"]),
        ("[bindings.c]\ntype = \"log\"\n[bindings.c]\n", "3:11", "bindings.c", &["every name once"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = [\"info\", \"info\"] }]\n",
            "3:46",
            "modules.a.links[0].operations[1]",
            &["\"info\" a second time"],
        ),
    ]);
}

#[test]
fn unknown_keys_and_sections_are_reported_with_the_known_ones() {
    expect(&[
        ("[daemon]\nworker = 2\n", "2:1", "daemon.worker", &["unknown key", "`workers`", "did you mean `workers`?"]),
        ("[deamon]\n", "1:2", "deamon", &["unknown key", "did you mean `daemon`?"]),
        ("[watches]\n", "1:2", "watches", &["unknown key", "`daemon`, `control`, `logging`", "did you mean `watch`?"]),
        ("[drop-in]\n", "1:2", "drop-in", &["unknown key", "did you mean `drop_in`?"]),
        ("[trigger.web]\n", "1:2", "trigger", &["unknown key", "did you mean `triggers`?"]),
        ("[group.a]\n", "1:2", "group", &["unknown key", "did you mean `groups`?"]),
        ("[metric]\n", "1:2", "metric", &["unknown key", "did you mean `metrics`?"]),
        ("[daemon]\nqueue-bytes = \"1 MiB\"\n", "2:1", "daemon.queue-bytes", &["did you mean `queue_bytes`?"]),
        ("[modules.a]\npath = \"a\"\ninstance = 2\n", "3:1", "modules.a.instance", &["did you mean `instances`?"]),
        ("[modules.a]\npath = \"a\"\n\"with space\" = 2\n", "3:1", "modules.a.\"with space\"", &["unknown key"]),
        (
            "[modules.a]\npath = \"a\"\nlimits.mem = \"1 MiB\"\n",
            "3:8",
            "modules.a.limits.mem",
            &["unknown key", "`memory`"],
        ),
        (
            "[modules.a]\npath = \"a\"\n[modules.a.restart]\nbackoff = { first = \"1s\" }\n",
            "4:13",
            "modules.a.restart.backoff.first",
            &["one of `initial`, `max`, `factor`, `jitter`"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [\"log\", { to = \"module\", namespase = \"b\", namespace = \"a\" }]\n",
            "3:34",
            "modules.a.links[1].namespase",
            &["did you mean `namespace`?"],
        ),
        ("[defaults]\nlazy = true\n", "2:1", "defaults.lazy", &["`limits`, `restart`"]),
        ("[bindings.l]\ntype = \"log\"\nlevel = \"info\"\n", "3:1", "bindings.l.level", &["unknown key", "`type`"]),
        (
            "[bindings.c]\ntype = \"keyvalue\"\nurl = \"x\"\n",
            "3:1",
            "bindings.c.url",
            &["a key of backends with a server", "\"redis\" and \"nats\""],
        ),
    ]);
}

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
fn names_and_tables_of_another_shape_are_refused() {
    expect(&[
        ("[modules.Greeter]\npath = \"a\"\n", "1:10", "modules.Greeter", &["the character 'G'", "`greeter`"]),
        ("[modules.\"\"]\npath = \"a\"\n", "1:10", "modules.\"\"", &["an empty name"]),
        ("[modules.\"a/b\"]\npath = \"a\"\n", "1:10", "modules.\"a/b\"", &["the character '/'"]),
        ("[bindings._x]\ntype = \"log\"\n", "1:11", "bindings._x", &["begins with _ or -"]),
        ("[modules]\na = \"a.wasm\"\n", "2:5", "modules.a", &["found \"a.wasm\"", "a table"]),
        ("[[modules]]\npath = \"a\"\n", "1:1", "modules", &["found a list", "[modules.greeter]"]),
        ("daemon = 1\n", "1:10", "daemon", &["[daemon]"]),
        ("[modules.a]\n", "1:1", "modules.a.path", &["no such key", "the path of the wasm file"]),
        ("[modules.a]\npath = 1\n", "2:8", "modules.a.path", &["the number 1", "a path"]),
        ("[modules.a]\npath = \"\"\n", "2:8", "modules.a.path", &["found \"\"", "a path"]),
        ("[modules.a]\npath = \"a\\u0000b\"\n", "2:8", "modules.a.path", &["NUL"]),
        ("[modules.a]\npath = \"a\"\nlimits = 5\n", "3:10", "modules.a.limits", &["a table"]),
        ("[daemon]\nstate_dir = []\n", "2:13", "daemon.state_dir", &["found a list", "a path"]),
    ]);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn links_that_lead_nowhere_or_twice_are_refused() {
    expect(&[
        (
            "[bindings.cache]\ntype = \"keyvalue\"\n[modules.a]\npath = \"a\"\nlinks = [\"log\", \"cashe\"]\n",
            "5:17",
            "modules.a.links[1]",
            &["\"cashe\", which no binding is called", "cache, log, module", "did you mean `cache`?"],
        ),
        (
            "[modules.a]\npath = \"a\"\n[[modules.a.links]]\nbinding = \"default\"\n",
            "4:11",
            "modules.a.links[0].binding",
            &["\"default\", which no binding is called"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ binding = \"default\", to = \"nowhere\" }]\n",
            "3:38",
            "modules.a.links[0].to",
            &["\"nowhere\""],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [\"module\"]\n",
            "3:10",
            "modules.a.links[0]",
            &["without a namespace", "long form", "{ binding = \"module\", namespace = \"NAME\" }"],
        ),
        (
            "[bindings.talk]\ntype = \"module\"\n[modules.a]\npath = \"a\"\nlinks = [\"talk\"]\n",
            "5:10",
            "modules.a.links[0]",
            &["a link to `talk` without a namespace"],
        ),
        (
            "[modules.greeter]\npath = \"a\"\nlinks = [{ to = \"module\", namespace = \"greter\" }]\n",
            "3:39",
            "modules.greeter.links[0].namespace",
            &["which no module is called", "did you mean `greeter`?"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = [\"log\", \"log\"]\n", "3:17", "modules.a.links[1]", &["line 3"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [\n { to = \"log\", namespace = \"x\" },\n \
             { to = \"log\", namespace = \"x\", operations = [\"info\"] },\n]\n",
            "5:2",
            "modules.a.links[1]",
            &["binding \"log\" and namespace \"x\"", "the first is on line 4"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = \"log\"\n", "3:9", "modules.a.links", &["a list of links"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [5]\n",
            "3:10",
            "modules.a.links[0]",
            &["the name of a binding, or a table"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = [{ }]\n", "3:10", "modules.a.links[0].to", &["no such key"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = [] }]\n",
            "3:37",
            "modules.a.links[0].operations",
            &["no operation", "at least one"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = \"info\" }]\n",
            "3:37",
            "modules.a.links[0].operations",
            &["found \"info\"", "a list of operations"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = { Info = 1 } }]\n",
            "3:46",
            "modules.a.links[0].operations.Info",
            &["the binding's name of the operation"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", shared = true }]\n",
            "3:33",
            "modules.a.links[0].shared",
            &["of type \"log\"", "keyvalue"],
        ),
    ]);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    expect(&[
        (
            "[bindings.a]\ntype = \"keyvalue\"\npath = \"x.redb\"\n[bindings.b]\ntype = \"keyvalue\"\npath = \"y/../x.redb\"\n",
            "6:8",
            "bindings.b.path",
            &["already belongs to the binding `a`"],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\npath = \"b.redb\"\n[bindings.b]\ntype = \"keyvalue\"\n",
            "4:11",
            "bindings.b.path",
            &["/home/ada/state/wapcd/b.redb", "already belongs to the binding `a`"],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\nbackend = \"memory\"\npath = \"x\"\n",
            "4:8",
            "bindings.a.path",
            &["a key of the backend \"redb\"", "\"memory\""],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\nmax_bytes = \"1 MiB\"\n",
            "3:13",
            "bindings.a.max_bytes",
            &["a key of the backend \"memory\""],
        ),
        (
            "[modules.a]\npath = \"a\"\nwasi = { env = { \"A=B\" = \"c\" } }\n",
            "3:18",
            "modules.a.wasi.env.\"A=B\"",
            &["as the name of a variable"],
        ),
        ("[modules.a]\npath = \"a\"\nwasi.argv = \"a\"\n", "3:13", "modules.a.wasi.argv", &["a list of texts"]),
        ("[modules.a]\npath = \"a\"\nwasi.argv = [1]\n", "3:14", "modules.a.wasi.argv[0]", &["a text"]),
        (
            "[modules.a]\npath = \"a\"\n[modules.a.wasi]\npreopened_dirs = [\"/data\"]\nmap_dirs = { \"/data\" = \"other\" }\n",
            "5:12",
            "modules.a.wasi.map_dirs",
            &["a second directory at the guest's path `/data`"],
        ),
        (
            "[daemon]\nstate_dir = \"/s\"\n[modules.a]\npath = \"a\"\nwasi = { preopened_dirs = [\"/data\", \"/s/./x/../code/y\"] }\n",
            "5:8",
            "modules.a.wasi",
            &["`/s/./x/../code/y`", "`/s/code`", "apart from the code"],
        ),
        (
            "[daemon]\nstate_dir = \"/s\"\n[modules.a]\npath = \"a\"\nwasi = { map_dirs = { \"/data\" = \"/\" } }\n",
            "5:8",
            "modules.a.wasi",
            &["`/`", "`/s/code`"],
        ),
    ]);
    let long = format!("[control]\nsocket = \"/{}\"\n", "x".repeat(107));
    let report = bad(&long).to_string();
    assert!(report.contains(":2:10: control.socket: found a socket path of 108 bytes"), "{report}");
}

#[test]
fn every_problem_of_a_file_is_reported_in_its_order() {
    let text = r#"
[daemon]
workers = 0
colour = "red"
shape = "round"

[modules.a]
path = ""
links = ["nowhere", "module", 5]
queue_bytes = 16

[modules.B]
instances = "all"

[bindings.cache]
type = "keyvalue"
max_key = "1"
"#;
    let errors = bad(text);
    let places: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {}", error.position.map_or(0, |position| position.line), error.key_path))
        .collect();
    assert_eq!(
        places,
        [
            "3 daemon.workers",
            "4 daemon.colour",
            "5 daemon.shape",
            "8 modules.a.path",
            "9 modules.a.links[0]",
            "9 modules.a.links[1]",
            "9 modules.a.links[2]",
            "10 modules.a.queue_bytes",
            "12 modules.B.path",
            "12 modules.B",
            "13 modules.B.instances",
            "17 bindings.cache.max_key",
        ],
        "{errors}"
    );
}

#[test]
fn a_duplicate_key_does_not_hide_the_other_problems() {
    let errors = bad("[daemon]\nworkers = 1\nworkers = 2\nshutdown_grace = 5\n");
    assert_eq!(errors.iter().count(), 2, "{errors}");
}

#[test]
fn one_mistake_is_not_reported_again_where_it_is_referred_to() {
    for text in [
        "[bindings.cache]\ntype = \"redis\"\nurl = \"x\"\n[modules.a]\npath = \"a\"\nlinks = [\"cache\"]\n",
        "[bindings.Cache]\ntype = \"keyvalue\"\n[modules.a]\npath = \"a\"\nlinks = [\"Cache\"]\n",
        "[modules.a]\nlinks = [{ to = \"module\", namespace = \"b\" }]\npath = \"a\"\n[modules.b]\n",
    ] {
        let errors = bad(text);
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }
}

#[test]
fn a_user_without_any_state_directory_is_told_to_name_one() {
    let nobody = super::Environment { home: None, xdg_state_home: None, ..super::user() };
    let path = std::path::Path::new(super::FILE);
    for text in ["", "[daemon]\n"] {
        let report = super::parse(text, path, &nobody).unwrap_err().to_string();
        assert!(report.contains("daemon.state_dir: found no such key, and neither $STATE_DIRECTORY"), "{report}");
    }
    assert!(super::parse("[daemon]\nstate_dir = \"s\"\n", path, &nobody).is_ok());
}
