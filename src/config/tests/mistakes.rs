//! Every kind of mistake, with the place and the words of its report.

use super::bad;

mod relations;
mod values;

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
