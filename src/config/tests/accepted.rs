//! What is accepted, and what it becomes.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    super::{
        Backoff, BindingSettings, Config, Durability, EngineKind, HealthCheck, Instances, KeyValueBackend,
        KeyValueSettings, Listen, LogFormat, LogLevel, Module, ModuleHealth, OnFull, Operations, RateLimit, Restart,
        RestartType, Rules, Shutdown, Space, Template, TriggerSettings, Wasi, parse,
    },
    FILE, good, user, with_engine,
};

fn module<'c>(config: &'c Config, name: &str) -> &'c Module {
    config.modules.iter().find(|module| &*module.name == name).unwrap()
}

fn names<'c>(names: impl IntoIterator<Item = &'c std::sync::Arc<str>>) -> Vec<&'c str> {
    names.into_iter().map(|name| &**name).collect()
}

#[test]
fn an_empty_text_gives_the_defaults() {
    let config = good("");
    assert_eq!(config.source, Path::new(FILE));
    assert_eq!(config.daemon.state_dir, Path::new("/home/ada/state/wapcd"));
    assert_eq!(config.daemon.runtime_dir, Path::new("/run/user/1000/wapcd"));
    assert_eq!(config.daemon.workers, 4);
    assert_eq!(config.daemon.shutdown_grace, Duration::from_secs(30));
    assert_eq!((config.daemon.guest_stack, config.daemon.queue_bytes), (512 << 10, 256 << 20));
    assert_eq!(config.control.socket, Path::new("/run/user/1000/wapcd/wapcd.sock"));
    assert_eq!(config.control.socket_mode, 0o660);
    assert_eq!((config.logging.level, config.logging.format), (LogLevel::Info, LogFormat::Auto));
    assert_eq!(names(config.bindings.iter().map(|binding| &binding.name)), ["log", "module"]);
    assert!(config.modules.is_empty() && config.groups.is_empty() && config.metrics.listen.is_none());
}

#[test]
fn an_empty_section_is_like_none() {
    let sections = "[daemon]\n[control]\n[logging]\n[defaults]\n[defaults.limits]\n[defaults.restart]\n[modules]\n[bindings]\n[groups]\n[metrics]\n";
    assert_eq!(good(sections), good(""));
}

#[test]
fn the_example_of_the_design_loads() {
    let config = good(include_str!("design.toml"));
    assert_eq!(names(config.modules.iter().map(|module| &module.name)), ["greeter", "orders"]);
    let greeter = module(&config, "greeter");
    assert_eq!(greeter.path, Path::new("/etc/wapcd/greeter.wasm"));
    assert_eq!(names(greeter.links.iter().map(|link| &link.to)), ["cache", "log"]);
    let spelt_out = Module { links: Vec::new(), ..greeter.clone() };
    assert_eq!(spelt_out, Module::with_defaults("greeter", "/etc/wapcd/greeter.wasm"));

    let orders = &module(&config, "orders").links[0];
    assert_eq!((orders.binding.as_str(), orders.namespace.as_deref()), ("default", Some("wascc:keyvalue")));
    assert_eq!((&*orders.to, &orders.rules), ("cache", &Rules::Space(Space::Own)));
    assert_eq!(orders.operations.resolve("Get"), Some("get"));
    assert_eq!(orders.operations.resolve("get"), None);

    let cache = KeyValueSettings {
        backend: KeyValueBackend::Redb {
            path: "/var/lib/wapcd/cache.redb".into(),
            durability: Durability::Immediate,
            cache: 16 << 20,
        },
        max_key: 1 << 10,
        max_value: 4 << 20,
    };
    assert_eq!(config.bindings[0].settings, BindingSettings::KeyValue(cache));

    let TriggerSettings::Http(web) = &config.triggers[0].settings else { panic!("{:?}", config.triggers) };
    assert_eq!(web.listeners[0].listen, Listen::Tcp("127.0.0.1:8080".parse().unwrap()));
    let route = &web.routes[0];
    assert_eq!(
        (&*config.triggers[0].name, &*route.path, &*route.methods),
        ("web", "/hello/{name}", &["POST".to_owned()][..])
    );
    assert_eq!(
        (&route.module, &route.operation),
        (&Template::Fixed("greeter".into()), &Template::Fixed("hello".into()))
    );
}

#[test]
fn every_key_arrives_at_its_place() {
    let config = good(concat!(include_str!("design.toml"), include_str!("every_key.toml")));
    let name = module(&config, "name");
    assert_eq!(name.path, Path::new("/opt/name.wasm"));
    assert!(name.lazy);
    assert_eq!((name.instances, name.on_full), (Instances::PerWorker, OnFull::Wait));
    assert_eq!((name.queue, name.queue_bytes, name.queue_timeout), (1, 4_000_000, Some(Duration::from_millis(250))));
    assert_eq!((name.limits.module_size, name.limits.memory, name.limits.table_elements), (1 << 20, 4 << 30, 0));
    assert_eq!((name.limits.payload, name.limits.response), (100, 512 << 10));
    assert_eq!(name.limits.call_timeout, Duration::from_secs(3600));
    assert_eq!(
        name.wasi,
        Wasi {
            argv: vec!["name".to_owned(), "--verbose".to_owned()],
            env: vec![("LANG".to_owned(), "C".to_owned()), ("EMPTY".to_owned(), String::new())],
            preopened_dirs: vec!["/etc/wapcd/shared".into()],
            map_dirs: vec![("/data".to_owned(), "/srv/data".into()), (".".to_owned(), "/etc/wapcd/here".into())],
        }
    );
    let checked = |interval, timeout, failures| HealthCheck { interval, timeout, failures };
    let (millisecond, second, minute) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(60));
    let health = ModuleHealth { operation: "health".to_owned(), check: checked(minute, 30 * second, 1) };
    assert_eq!(name.health, Some(health));
    assert_eq!(name.rate_limit, Some(RateLimit { calls: 100, per: minute, burst: 20 }));
    assert_eq!((name.binding_wait, name.shutdown), (60 * minute, Shutdown::Kill));
    assert_eq!(config.bindings[1].health, Some(checked(10 * millisecond, millisecond, 1000)));
    assert_eq!((config.bindings[1].shutdown, config.bindings[1].restart.intensity), (Shutdown::Infinity, 3));
    assert_eq!(config.bindings[2].shutdown, Shutdown::After(60 * minute));
    assert_eq!(names(config.groups.iter().map(|group| &group.name)), ["name", "inner"]);
    assert_eq!(config.metrics.listen, Some("[::1]:0".parse().unwrap()));

    let redb = |path: &str| KeyValueBackend::Redb { path: path.into(), durability: Durability::Eventual, cache: 0 };
    let other = KeyValueSettings { backend: redb("/var/lib/wapcd/other.redb"), max_key: 64, max_value: 1 << 10 };
    assert_eq!(config.bindings[1].settings, BindingSettings::KeyValue(other));
    let memory = KeyValueBackend::Memory { max_bytes: 1 << 30 };
    assert!(matches!(&config.bindings[2].settings, BindingSettings::KeyValue(settings) if settings.backend == memory));
}

#[test]
fn restart_settings_of_a_module_stand_over_the_defaults_key_by_key() {
    let config = good(concat!(include_str!("design.toml"), include_str!("every_key.toml")));
    let backoff = Backoff { initial: Duration::ZERO, max: Duration::from_secs(3600), factor: 3.0, jitter: 1.0 };
    let defaults = Restart {
        restart_type: RestartType::Transient,
        intensity: 7,
        period: Duration::from_secs(90),
        reset_on_success: false,
        retry_failed: None,
        backoff: backoff.clone(),
    };
    assert_eq!(module(&config, "orders").restart, defaults);
    let own = Restart {
        restart_type: RestartType::Temporary,
        intensity: 0,
        period: Duration::from_millis(1),
        reset_on_success: true,
        retry_failed: Some(Duration::from_secs(30 * 86_400)),
        backoff: Backoff { factor: 1.5, ..backoff },
    };
    assert_eq!(module(&config, "name").restart, own);
}

#[test]
fn limits_of_a_module_stand_over_the_defaults_key_by_key() {
    let text = "[modules.a]\npath = \"a\"\nlimits.memory = \"1 MiB\"\n[defaults.limits]\nmemory = \"2 MiB\"\npayload = \"3 B\"\n\
                [modules.b]\npath = \"b\"\n";
    let config = good(text);
    let limits = |name| (module(&config, name).limits.memory, module(&config, name).limits.payload);
    assert_eq!(limits("a"), (1 << 20, 3));
    assert_eq!(limits("b"), (2 << 20, 3));
}

#[test]
fn short_and_long_links_mix_in_one_list() {
    let config = good(concat!(include_str!("design.toml"), include_str!("every_key.toml")));
    let links = &module(&config, "name").links;
    assert_eq!((links[0].binding.as_str(), &links[0].namespace, &*links[0].to), ("log", &None, "log"));
    assert_eq!(links[0].operations, Operations::All);
    assert_eq!((links[1].binding.as_str(), links[1].namespace.as_deref(), &*links[1].to), ("kv", Some(""), "name"));
    let same = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(links[1].operations, Operations::Named(BTreeMap::from([same("get"), same("keys")])));
    assert_eq!(links[1].rules, Rules::Space(Space::Shared));
    assert_eq!((links[2].namespace.as_deref(), &*links[2].to), (Some("greeter"), "module"));
}

#[test]
fn binding_and_to_stand_for_each_other() {
    let config =
        good("[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\" }, { binding = \"log\", namespace = \"x\" }]\n");
    for link in &module(&config, "a").links {
        assert_eq!((link.binding.as_str(), &*link.to), ("log", "log"));
    }
}

#[test]
fn one_binding_may_have_links_of_several_namespaces_and_one_for_any() {
    good(
        "[modules.a]\npath = \"a\"\n\
         links = [\"log\", { to = \"log\", namespace = \"x\" }, { to = \"log\", namespace = \"y\" }, { to = \"log\", binding = \"l\" }]\n",
    );
}

#[test]
fn modules_and_bindings_keep_the_order_of_the_file() {
    let text = "[modules.zebra.limits]\nmemory = \"1 MiB\"\n[modules.ant]\npath = \"a\"\n[modules.mole]\npath = \"m\"\n\
                [modules.zebra]\npath = \"z\"\n[modules.bee]\npath = \"b\"\n\
                [bindings.z]\ntype = \"log\"\n[bindings.a]\ntype = \"log\"\n[bindings.m]\ntype = \"log\"\n";
    let config = good(text);
    // A module stands where its own header stands.
    assert_eq!(names(config.modules.iter().map(|module| &module.name)), ["ant", "mole", "zebra", "bee"]);
    assert_eq!(names(config.bindings.iter().map(|binding| &binding.name)), ["z", "a", "m", "log", "module"]);
}

#[test]
fn declared_bindings_come_first_and_replace_the_undeclared_one_of_their_name() {
    let config = good("[bindings.log]\ntype = \"keyvalue\"\nbackend = \"memory\"\n[bindings.x]\ntype = \"log\"\n");
    let all: Vec<_> = config.bindings.iter().map(|binding| (&*binding.name, binding.settings.type_name())).collect();
    assert_eq!(all, [("log", "keyvalue"), ("x", "log"), ("module", "module")]);
}

#[test]
fn two_modules_may_run_one_file() {
    assert_eq!(good("[modules.a]\npath = \"x\"\n[modules.b]\npath = \"./x\"\n").modules.len(), 2);
}

#[test]
fn what_is_read_is_relative_to_the_file_and_what_is_written_to_the_directories_of_the_daemon() {
    let config = good(
        "[daemon]\nstate_dir = \"state\"\nruntime_dir = \"/tmp/run\"\n[control]\nsocket = \"c\"\n[modules.a]\npath = \"../a\"\n\
         [bindings.kv]\ntype = \"keyvalue\"\n",
    );
    assert_eq!(config.daemon.state_dir, Path::new("/etc/wapcd/state"));
    assert_eq!(config.control.socket, Path::new("/tmp/run/c"));
    assert_eq!(config.modules[0].path, Path::new("/etc/wapcd/../a"));
    let BindingSettings::KeyValue(settings) = &config.bindings[0].settings else { panic!("{:?}", config.bindings) };
    assert_eq!(
        settings.backend,
        KeyValueBackend::Redb {
            path: "/etc/wapcd/state/kv.redb".into(),
            durability: Durability::Immediate,
            cache: 16 << 20,
        }
    );
}

#[test]
fn the_engine_of_the_command_line_wins_over_that_of_the_daemon_and_of_modules() {
    for text in [
        "modules.a.path = \"a\"\n",
        "daemon.engine = \"cranelift\"\nmodules.a = { path = \"a\", engine = \"cranelift\" }\n",
        "daemon.engine = \"pulley\"\nmodules.a = { path = \"a\", engine = \"pulley\" }\n",
    ] {
        for engine in [EngineKind::Cranelift, EngineKind::Pulley] {
            let config = with_engine(engine, text).unwrap();
            assert_eq!((config.daemon.engine, config.modules[0].engine), (engine, engine), "{text}");
        }
    }
}

#[test]
fn the_bounds_themselves_are_allowed() {
    for (key, least, most) in [
        ("daemon.workers", "1", "1024"),
        ("daemon.shutdown_grace", "\"0s\"", "\"1h\""),
        ("daemon.guest_stack", "\"64 KiB\"", "\"64 MiB\""),
        ("control.socket_mode", "\"000\"", "\"0777\""),
        ("defaults.limits.memory", "\"64 KiB\"", "\"4 GiB\""),
        ("defaults.restart.intensity", "0", "10_000"),
        ("defaults.restart.backoff.factor", "1", "1e3"),
        ("defaults.restart.backoff.jitter", "0.0", "1"),
    ] {
        good(&format!("{key} = {least}\n"));
        good(&format!("{key} = {most}\n"));
    }
    for instances in ["1", "100000", "0x10", "\"per-worker\""] {
        good(&format!("[modules.a]\npath = \"a\"\ninstances = {instances}\n"));
    }
}

#[test]
fn workers_follow_the_cores_within_their_bounds() {
    for (cores, workers) in [(0, 1), (1, 1), (96, 96), (4096, 1024)] {
        let env = super::Environment { cores, ..user() };
        assert_eq!(parse("", Path::new(FILE), &env).unwrap().daemon.workers, workers);
    }
}
