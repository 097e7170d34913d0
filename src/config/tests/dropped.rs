//! Modules of dropped files: what they get, and what they may not have.

use std::path::Path;

use super::{
    super::{Config, ConfigErrors, Declared, EngineKind, Instances, Module, check_name, dropped},
    good, with_engine,
};

const WASM: &str = "/drop/greeter.wasm";
const TOML: &str = "/drop/greeter.toml";

/// A configuration that allows links to some of its bindings.
fn allowing(links: &str) -> Config {
    good(&format!(
        "[drop_in]\nlinks = [{links}]\n[defaults]\nlimits.memory = \"1 MiB\"\nrestart.intensity = 9\n\
         [bindings.cache]\ntype = \"keyvalue\"\n[modules.orders]\npath = \"o.wasm\"\n"
    ))
}

fn with(text: &str, config: &Config) -> Result<Module, ConfigErrors> {
    dropped("greeter", Path::new(WASM), Some((Path::new(TOML), text)), config)
}

#[test]
fn without_a_file_beside_it_a_dropped_module_has_the_defaults_and_no_links() {
    let module = dropped("greeter", Path::new(WASM), None, &allowing("\"cache\"")).unwrap();
    assert_eq!(
        (module.declared, &*module.name, module.path.as_path()),
        (Declared::Dropped, "greeter", Path::new(WASM))
    );
    assert_eq!((module.limits.memory, module.restart.intensity), (1 << 20, 9));
    assert!(module.links.is_empty());
    assert_eq!(with("", &allowing("")).unwrap(), module);
}

#[test]
fn the_file_beside_it_is_the_content_of_a_modules_table() {
    let text = "links = [\"cache\", { to = \"module\", namespace = \"orders\" }]\ninstances = \"per-worker\"\nlimits.payload = \"1 KiB\"\n\
                [restart]\nperiod = \"1m\"\n[swap]\nprobation = \"10s\"\n";
    let module = with(text, &allowing("\"cache\", \"module\"")).unwrap();
    assert_eq!((module.instances, module.links.len()), (Instances::PerWorker, 2));
    assert_eq!((module.limits.memory, module.limits.payload), (1 << 20, 1 << 10));
    assert_eq!((module.restart.intensity, module.restart.period.as_secs()), (9, 60));
    assert_eq!(module.swap.probation.unwrap().max_failures, 0);
}

#[test]
fn a_dropped_module_runs_on_the_engine_of_the_command_line_and_names_that_of_the_configuration() {
    let config = with_engine(EngineKind::Pulley, "[drop_in]\n").unwrap();
    for text in ["", "engine = \"cranelift\"\n"] {
        assert_eq!(with(text, &config).unwrap().engine, EngineKind::Pulley);
    }
    let refused = with("engine = \"pulley\"\n", &config).unwrap_err().to_string();
    assert!(refused.contains("expected `cranelift`, on which all modules run"), "{refused}");
}

#[test]
fn what_a_dropped_module_may_not_have_is_refused_with_what_to_do() {
    let config = allowing("\"cache\", \"module\"");
    for (text, place, words) in [
        (
            "path = \"other.wasm\"\n",
            "1:1: path",
            &["no such key: its code is `/drop/greeter.wasm`", "the configuration"][..],
        ),
        ("[wasi]\nargv = []\n", "1:2: wasi", &["must not open directories", "written into the configuration"]),
        ("[modules.greeter]\nlazy = true\n", "1:2: modules", &["the keys of the module at the top of the file"]),
        (
            "links = [\"log\"]\n",
            "1:10: links[0]",
            &[
                "a link of a dropped module to the binding `log`, which [drop_in] does not allow",
                "`links` below [drop_in] lists: cache, module",
                "add \"log\" to `links` below [drop_in] in /etc/wapcd/wapcd.toml",
            ],
        ),
        ("links = [\"cashe\"]\n", "1:10: links[0]", &["which no binding is called", "did you mean `cache`?"]),
        ("links = [\"module\"]\n", "1:10: links[0]", &["without a namespace"]),
        (
            "links = [{ to = \"module\", namespace = \"order\" }]\n",
            "1:39: links[0].namespace",
            &["which no module is called", "did you mean `orders`?"],
        ),
        (
            "links = [{ to = \"module\", namespace = \"greeter\" }]\n",
            "1:39: links[0].namespace",
            &["which no module is called"],
        ),
        ("instance = 2\n", "1:1: instance", &["unknown key", "did you mean `instances`?"]),
        ("[limits]\nmemory = 5\n", "2:10: limits.memory", &["\"5 MiB\""]),
        ("[limits\n", "1:8:", &["not TOML"]),
        ("lazy = true\nlazy = true\n", "2:1: lazy", &["already there"]),
    ] {
        let errors = with(text, &config).unwrap_err();
        let report = errors.to_string();
        assert_eq!(errors.iter().count(), 1, "{report}");
        assert!(report.starts_with(&format!("{TOML}:{place}")), "{place}: {report}");
        assert!(words.iter().all(|word| report.contains(word)), "{words:?} in {report}");
    }
}

#[test]
fn without_allowed_links_there_are_none() {
    for config in [allowing(""), good("")] {
        let report = with("links = [\"log\"]\n", &config).unwrap_err().to_string();
        assert!(report.contains("expected no links: `links` below [drop_in] allows dropped modules none"), "{report}");
    }
}

#[test]
fn a_dropped_module_is_no_target_of_another() {
    let mut config = allowing("\"module\"");
    config.modules.push(dropped("other", Path::new("/drop/other.wasm"), None, &config).unwrap());
    assert!(with("links = [{ to = \"module\", namespace = \"orders\" }]\n", &config).is_ok());
    assert!(with("links = [{ to = \"module\", namespace = \"other\" }]\n", &config).is_err());
}

#[test]
fn a_name_that_is_not_allowed_is_refused_by_its_file() {
    for (name, words) in
        [("Greeter", "the character 'G' in a name"), ("", "an empty name"), ("a b", "' '"), ("a.b", "'.'")]
    {
        let report = dropped(name, Path::new(WASM), None, &good("")).unwrap_err().to_string();
        assert!(
            report.starts_with(WASM) && report.contains(words) && report.contains("1 to 64 characters"),
            "{report}"
        );
        assert!(check_name(name).is_err());
    }
    for name in ["greeter-2", "-a", "_"] {
        assert_eq!(check_name(name), Ok(()), "{name}");
    }
    assert_eq!(check_name(&"x".repeat(65)), Err("a name of 65 characters".to_owned()));
}

#[test]
fn a_file_of_absurd_size_is_refused() {
    let report = with(&" ".repeat((1 << 20) + 1), &good("")).unwrap_err().to_string();
    assert!(report.starts_with(TOML) && report.contains("found 1048577 bytes, expected at most 1 MiB"), "{report}");
    assert!(with(&" ".repeat(1 << 20), &good("")).is_ok());
}
