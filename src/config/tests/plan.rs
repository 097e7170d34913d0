//! What differs between two configurations: single cases, and every key of the schema with another value.

use toml::{Table, Value};

use super::{
    super::{Change, ChangeAction, Changed, Config, Declared, EngineKind, Member, Module, Plan, plan},
    check,
    documents::schema,
    good, with_engine,
};

/// Holds nearly every key.
const RICH: &str = concat!(include_str!("design.toml"), include_str!("every_key.toml"));

fn lines(old: &str, new: &str) -> Vec<String> {
    plan(&good(old), &good(new)).changes.iter().map(ToString::to_string).collect()
}

const MODULES: &str = "[modules.a]\npath = \"a\"\n[modules.b]\npath = \"b\"\n";

#[test]
fn each_difference_is_told_with_what_it_takes() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("", "", &[]),
        ("[logging]\nlevel = \"info\"\n", "", &[]),
        ("", "logging.level = \"debug\"\n", &["adjust logging (level)"]),
        ("", "logging.format = \"json\"\n", &["needs a restart of the daemon: logging (format)"]),
        (
            "",
            "daemon = { workers = 7, shutdown_grace = \"1s\", queue_bytes = \"1 B\", code_cache = \"0 B\" }\n",
            &[
                "adjust daemon (shutdown_grace, queue_bytes)",
                "needs a restart of the daemon: daemon (workers, code_cache)",
            ],
        ),
        ("", "drop_in = {}\n", &["adjust drop_in"]),
        ("drop_in = {}\n", "drop_in.links = [\"log\"]\n", &["adjust drop_in (links)"]),
        ("", "include = [\"conf.d/*.toml\"]\n", &["adjust include"]),
        ("", "watch.config = true\n", &["adjust watch (config)"]),
        ("", "defaults.limits.memory = \"1 MiB\"\n", &[]),
        ("", MODULES, &["add modules.a", "add modules.b"]),
        (MODULES, "", &["remove modules.b", "remove modules.a"]),
        ("modules.a.path = \"a\"\n", "modules.a.path = \"b\"\n", &["swap modules.a (path)"]),
        ("modules.a.path = \"a\"\n", "modules.a.path = \"./a\"\n", &[]),
        (
            "modules.a.path = \"a\"\n",
            "modules.a = { path = \"b\", queue = 7, wasi.argv = [\"x\"] }\n",
            &["restart modules.a (path, queue, wasi.argv)"],
        ),
        (
            "modules.a.path = \"a\"\n",
            "modules.a = { path = \"b\", links = [\"log\"], limits.memory = \"1 MiB\" }\n",
            &["swap modules.a (path, limits.memory, links)"],
        ),
        (
            MODULES,
            "[defaults.limits]\nmemory = \"1 MiB\"\n[modules.a]\npath = \"a\"\n[modules.b]\npath = \"b\"\nlimits.memory = \"64 MiB\"\n",
            &["adjust modules.a (limits.memory)"],
        ),
        (
            "bindings.x = { type = \"keyvalue\" }\n",
            "bindings.x = { type = \"keyvalue\", backend = \"memory\", shutdown = \"kill\" }\n",
            &["restart bindings.x (backend, shutdown)"],
        ),
        (
            "bindings.x = { type = \"keyvalue\" }\n",
            "bindings.x.type = \"log\"\n",
            &["remove bindings.x", "add bindings.x"],
        ),
        ("", "bindings.log.type = \"log\"\n", &[]),
        (
            "modules.a.path = \"a\"\n",
            "modules.a = { path = \"a\", swap.probation = \"1s\" }\n",
            &["adjust modules.a (swap.probation)"],
        ),
        (
            MODULES,
            "[modules.c]\npath = \"c\"\n[modules.b]\npath = \"b\"\n[modules.a]\npath = \"a\"\n",
            &["adjust order (modules)", "add modules.c"],
        ),
        (MODULES, "[modules.c]\npath = \"c\"\n[modules.b]\npath = \"b\"\n", &["add modules.c", "remove modules.a"]),
    ];
    for (old, new, expected) in cases {
        assert_eq!(lines(old, new), *expected, "--- old:\n{old}\n--- new:\n{new}");
    }
}

const MESSAGING: &str = "[bindings.x]\ntype = \"messaging\"\n[bindings.y]\ntype = \"messaging\"\n";

/// A trigger's settings, what must stand before it, and for each change of a key what that takes.
type Keys = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Keys of each type of trigger.
const KEYS_OF_TRIGGERS: &[Keys] = &[
    (
        "type = \"http\", listen = \"127.0.0.1:1\"",
        "",
        &[
            ("listen = \"127.0.0.1:2\"", "adjust triggers.t (listen)"),
            ("routes = [{ path = \"/\", module = \"a\", operation = \"o\" }]", "adjust triggers.t (routes)"),
            ("limits.body = \"1 B\"", "adjust triggers.t (limits)"),
            ("access_log = true", "adjust triggers.t (access_log)"),
            ("verbose_errors = true", "adjust triggers.t (verbose_errors)"),
            ("restart.type = \"temporary\"", "adjust triggers.t (restart.type)"),
            ("shutdown = \"kill\"", "adjust triggers.t (shutdown)"),
        ],
    ),
    (
        "type = \"schedule\", every = \"1s\", module = \"a\", operation = \"o\"",
        "",
        &[
            ("every = \"2s\"", "adjust triggers.t (every)"),
            ("module = \"b\"", "adjust triggers.t (module)"),
            ("operation = \"p\"", "adjust triggers.t (operation)"),
            ("timeout = \"1s\"", "adjust triggers.t (timeout)"),
            ("payload = \"x\"", "adjust triggers.t (payload)"),
            ("overlap = \"queue\"", "adjust triggers.t (overlap)"),
            ("jitter = \"1s\"", "adjust triggers.t (jitter)"),
            ("run_on_start = true", "adjust triggers.t (run_on_start)"),
            ("catch_up = true", "adjust triggers.t (catch_up)"),
        ],
    ),
    (
        "type = \"messages\", binding = \"x\", topics = \"t\", module = \"a\", operation = \"o\"",
        MESSAGING,
        &[
            ("binding = \"y\"", "restart triggers.t (binding)"),
            ("topics = \"u\"", "restart triggers.t (topics)"),
            ("group = \"g\"", "restart triggers.t (group)"),
            ("concurrency = 1", "restart triggers.t (concurrency)"),
            ("envelope = \"json\"", "adjust triggers.t (envelope)"),
            ("timeout = \"1s\"", "adjust triggers.t (timeout)"),
        ],
    ),
    (
        "type = \"files\", module = \"a\", operation = \"o\"",
        "",
        &[
            ("dir = \"d\"", "restart triggers.t (dir)"),
            ("concurrency = 2", "restart triggers.t (concurrency)"),
            ("envelope = \"json\"", "adjust triggers.t (envelope)"),
            ("max_size = \"1 B\"", "adjust triggers.t (max_size)"),
            ("attempts = 1", "adjust triggers.t (attempts)"),
            ("retry_delay = \"2s\"", "adjust triggers.t (retry_delay)"),
            ("after = \"delete\"", "adjust triggers.t (after)"),
        ],
    ),
];

#[test]
fn each_key_of_a_trigger_is_told_with_what_its_change_takes() {
    for (settings, before, changes) in KEYS_OF_TRIGGERS {
        let old: Table = toml::from_str(&format!("{MODULES}{before}[triggers]\nt = {{ {settings} }}\n")).unwrap();
        for (change, expected) in *changes {
            let mut new = old.clone();
            let other: Table = toml::from_str(change).unwrap();
            new["triggers"]["t"].as_table_mut().unwrap().extend(other);
            let text = |table: &Table| toml::to_string(table).unwrap();
            assert_eq!(lines(&text(&old), &text(&new)), [*expected], "{change}");
        }
    }
    let moved = "[triggers.t]\ntype = \"files\"\nmodule = \"a\"\noperation = \"o\"\n";
    let other = "[triggers.t]\ntype = \"schedule\"\nevery = \"1s\"\nmodule = \"a\"\noperation = \"o\"\n";
    let (old, new) = (format!("{MODULES}{moved}"), format!("{MODULES}{other}"));
    assert_eq!(lines(&old, &new), ["remove triggers.t", "add triggers.t"]);
}

#[test]
fn changes_come_section_by_section_and_removals_last() {
    let old = "modules.gone.path = \"a\"\nbindings.old = { type = \"keyvalue\" }\n[groups.was]\nmembers = [\"gone\"]\n";
    let new = "modules.new.path = \"a\"\nbindings.fresh = { type = \"keyvalue\" }\nwatch.poll = \"1s\"\n\
               [groups.will]\nmembers = [\"new\"]\n";
    let expected = [
        "adjust watch (poll)",
        "add bindings.fresh",
        "add groups.will",
        "add modules.new",
        "remove modules.gone",
        "remove groups.was",
        "remove bindings.old",
    ];
    assert_eq!(lines(old, new), expected);
}

#[test]
fn what_only_a_restart_of_the_daemon_changes_is_refused_by_its_key() {
    let new = good(
        "daemon = { workers = 7, engine = \"pulley\", guest_stack = \"64 KiB\" }\ncontrol = { socket_mode = \"0600\", socket_group = \"g\", readers = [\"r\"], operators = [\"o\"] }\nlogging.level = \"warn\"\n",
    );
    let plan = plan(&good(""), &new);
    let refused = [
        "daemon.workers: only a restart of the daemon changes this",
        "daemon.engine: only a restart of the daemon changes this",
        "daemon.guest_stack: only a restart of the daemon changes this",
        "control.socket_mode: only a restart of the daemon changes this",
        "control.socket_group: only a restart of the daemon changes this",
        "control.readers: only a restart of the daemon changes this",
        "control.operators: only a restart of the daemon changes this",
    ];
    assert_eq!(plan.refused(), refused);
    assert!(super::super::plan(&good(""), &good("logging.level = \"warn\"\n")).refused().is_empty());
}

#[test]
fn the_engine_of_the_file_makes_no_difference_where_the_command_line_names_one() {
    let named = "daemon.engine = \"pulley\"\nmodules.a = { path = \"a\", engine = \"pulley\" }\n";
    for engine in [EngineKind::Cranelift, EngineKind::Pulley] {
        assert!(
            plan(&with_engine(engine, "modules.a.path = \"a\"\n").unwrap(), &with_engine(engine, named).unwrap())
                .is_empty()
        );
    }
}

#[test]
fn a_module_that_is_no_longer_configured_but_dropped_goes_on() {
    let old = good("modules.a.path = \"a\"\n");
    let dropped = Module { declared: Declared::Dropped, ..old.modules[0].clone() };
    let new = Config { modules: vec![dropped.clone()], ..old.clone() };
    assert_eq!(plan(&old, &new).to_string(), "adjust modules.a (declared)\n");
    let moved = Config { modules: vec![Module { path: "/drop/a.wasm".into(), ..dropped }], ..old.clone() };
    assert_eq!(plan(&old, &moved).to_string(), "swap modules.a (declared, path)\n");
}

#[test]
fn files_make_no_difference_and_patterns_do() {
    let old = good("");
    let files = Config { files: vec!["/x".into()], source: "/y".into(), ..old.clone() };
    assert!(plan(&old, &files).is_empty());
    let includes = Config { includes: vec!["/etc/x/*.toml".into()], ..old.clone() };
    assert!(!plan(&old, &includes).is_empty());
}

/// Values of which one or the other is allowed for every key, and differs from what is there.
fn candidates(old: Option<&Value>) -> Vec<Value> {
    let mut values = match old {
        Some(Value::Boolean(flag)) => vec![Value::Boolean(!flag)],
        Some(Value::Array(items)) => vec![Value::Array(items.iter().rev().skip(1).rev().cloned().collect())],
        _ => vec![Value::Boolean(true), Value::Boolean(false)],
    };
    let texts = [
        "2ms",
        "20ms",
        "45s",
        "temporary",
        "40ms",
        "1s",
        "2s",
        "7 KiB",
        "70 KiB",
        "70 MiB",
        "127.0.0.1:9",
        "0600",
        "memory",
        "log",
        "module",
        "poll",
        "text",
        "debug",
        "wait",
        "transient",
        "one_for_all",
        "other",
        "cache",
        "greeter",
        "orders",
        "redis://other",
        "nats://other",
        "http://other",
        "postgres://other",
        "eventual",
        "immediate",
        "blob",
        "bus",
        "/other",
        "text/other",
        "raw",
        "messagepack",
        "skip",
        "keep",
        "UTC",
        "0 0 3 * * *",
    ];
    values.extend(texts.map(Value::from));
    values.extend([1, 2, 7, 500].map(Value::from));
    values.extend([1.25, 0.5].map(Value::from));
    values.push(Value::Array(vec![Value::from("log")]));
    let table = |key: &str, value: Value| Value::Table(Table::from_iter([(key.to_owned(), value)]));
    values.push(table("a", Value::from("b")));
    values.push(table("a", table("file", Value::from("b"))));
    values.push(table("file", Value::from("b")));
    values
}

/// Sets a key below a table, and gives what was there. `None` where there is no such table.
fn set(table: &mut Table, path: &str, value: Option<Value>) -> Option<Option<Value>> {
    let Some((first, rest)) = path.split_once('.') else {
        let old = table.get(path).cloned();
        if let Some(value) = value {
            table.insert(path.to_owned(), value);
        }
        return Some(old);
    };
    let (first, index) = first.split_once('#').unwrap_or((first, "1"));
    match table.get_mut(first)? {
        Value::Table(inner) => set(inner, rest, value),
        Value::Array(items) => set(items.get_mut(index.parse::<usize>().unwrap())?.as_table_mut()?, rest, value),
        _ => None,
    }
}

/// The first configuration in which only this key is another.
fn mutated(rich: &Table, old: &Config, path: &str) -> Option<Config> {
    let present = set(&mut rich.clone(), path, None)?;
    candidates(present.as_ref()).into_iter().find_map(|value| {
        let mut table = rich.clone();
        set(&mut table, path, Some(value))?;
        check(&toml::to_string(&table).unwrap()).ok().filter(|new| new != old)
    })
}

/// The key as a plan names it: tables that are there or not count as a whole, and so does whatever a list holds.
fn told<'p>(kind: Option<&str>, path: &'p str) -> &'p str {
    let path = path.split('#').next().unwrap_or(path);
    let of_triggers = ["listen", "routes", "limits", "durable"].iter().filter(|_| kind == Some("triggers"));
    let wholes =
        ["health", "rate_limit", "on_start", "on_stop", "links", "swap.probe", "tls", "password", "circuit.backoff"];
    match of_triggers.chain(&wholes).find(|whole| path.starts_with(&format!("{whole}."))) {
        Some(whole) => whole,
        None => path,
    }
}

/// Items of the list in the rich configuration that has the most: links of a module.
const ITEMS: usize = 8;

/// Lists of tables that a path of the schema may lead through.
const LISTS: [&str; 3] = [".links.", ".routes.", ".listen."];

/// The path in each item of the list that it leads through.
fn places(path: String) -> Vec<String> {
    let Some(list) = LISTS.iter().find(|list| path.contains(**list)) else { return vec![path] };
    (0..ITEMS).map(|at| path.replacen(list, &format!("{}#{at}.", list.trim_end_matches('.')), 1)).collect()
}

/// Checks the plan for another value of one key, and says whether there was one.
fn differs(rich: &Table, old: &Config, path: &str) -> bool {
    let kinds = ["modules", "bindings", "groups", "triggers"];
    let kind = kinds.into_iter().find(|kind| path.starts_with(&format!("{kind}.")));
    let names: Vec<String> = match kind {
        Some(kind @ ("bindings" | "triggers")) => {
            let (of, rest) = path.split_once('.').unwrap().1.split_once('.').unwrap();
            let types = super::documents::types(RICH, kind);
            let fitting = types.iter().filter(|(_, kind)| ["NAME", "server", kind.as_str()].contains(&of));
            fitting.flat_map(|(name, _)| places(format!("{kind}.{name}.{rest}"))).collect()
        }
        Some(kind) => {
            rich[kind].as_table().unwrap().keys().flat_map(|name| places(path.replace("NAME", name))).collect()
        }
        None => vec![path.to_owned()],
    };
    let Some((path, new)) = names.iter().rev().find_map(|path| Some((path, mutated(rich, old, path)?))) else {
        return false;
    };
    let plan = plan(old, &new);
    let (subject, key) = match (kind, path.split_once('.').unwrap()) {
        (Some(kind), (_, rest)) => {
            (format!("{kind}.{}", rest.split_once('.').unwrap().0), rest.split_once('.').unwrap().1)
        }
        (None, ("defaults", key)) => ("modules.orders".to_owned(), key),
        (None, (section, key)) => (section.to_owned(), key),
    };
    let key = told(kind, key);
    let found = plan.changes.iter().any(|change| {
        let type_of_binding = key == "type" && change.action == ChangeAction::Add;
        change.subject.to_string() == subject && (change.keys.iter().any(|other| other == key) || type_of_binding)
    });
    assert!(found, "`{path}` is not told as `{subject} ({key})` in:\n{plan}");
    let consequences = ["daemon.state_dir", "daemon.runtime_dir", "bindings.", "groups."];
    if !consequences.iter().any(|start| path.starts_with(start)) {
        assert!(plan.changes.iter().flat_map(|change| &change.keys).all(|other| other == key), "{path}:\n{plan}");
    }
    assert!(super::super::plan(&new, &new).is_empty());
    assert!(!super::super::plan(&new, old).is_empty(), "{path} differs in one direction only");
    true
}

#[test]
fn another_value_of_any_key_is_told_by_that_key() {
    let rich: Table = toml::from_str(RICH).unwrap();
    let old = good(&toml::to_string(&rich).unwrap());
    assert_eq!(plan(&old, &old), Plan::default());
    let schema = schema();
    let holds_others = |path: &String| schema.iter().any(|other| other.starts_with(&format!("{path}.")));
    let leaves = schema.iter().filter(|path| path.contains('.') && !holds_others(path));
    let same: Vec<&String> = leaves.filter(|path| !differs(&rich, &old, path)).collect();
    // All modules have the daemon's engine, and another type of a trigger and another backend of these two need other keys as well.
    let expected = [
        "bindings.messaging.backend",
        "bindings.sql.backend",
        "daemon.engine",
        "modules.NAME.engine",
        "triggers.NAME.type",
    ];
    assert_eq!(same, expected);
}

#[test]
fn the_actions_are_ordered_by_what_they_take() {
    use ChangeAction::{Adjust, NeedsDaemonRestart, Restart, Swap};
    assert!(Adjust < Swap && Swap < Restart && Restart < NeedsDaemonRestart);
    let subject = Changed::Child(Member::Group("shop".into()));
    let change = Change { subject, action: Adjust, keys: vec!["period".to_owned(), "critical".to_owned()] };
    assert_eq!(change.to_string(), "adjust groups.shop (period, critical)");
}
