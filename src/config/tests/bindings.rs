//! Bindings of every type, and what their links may say.

use super::{
    super::{BindingSettings, Rules, SecretSource, Space},
    bad, good,
};

const EVERY_KEY: &str = concat!(include_str!("design.toml"), include_str!("every_key.toml"));

#[test]
fn a_secret_that_is_written_down_is_refused_and_not_repeated() {
    for (text, expected) in [
        ("url = \"redis://h\"\npassword = \"hunter2\"\n", "secrets are not written into the configuration"),
        ("url = \"redis://me:hunter2@h\"\n", "keys of their own: `user` and `password`"),
        ("url = \"redis://:hunter2@h\"\n", "keys of their own"),
        ("url = \"redis://h?password=hunter2\"\n", "a key of its own: `password`"),
        ("url = \"http://hunter2\"\n", "it begins with redis:// or rediss://"),
        ("url = \"redis://h\"\npassword = {}\n", "found neither"),
        ("url = \"redis://h\"\npassword = { file = \"a\", credential = \"b\" }\n", "both `file` and `credential`"),
        ("url = \"redis://h\"\npassword = { credential = \"../b\" }\n", "without slashes"),
        ("url = \"rediss://h\"\ntls = { cert = \"a\" }\n", "both `cert` and `key`"),
        ("url = \"redis://h\"\ntls = { ca = \"a\" }\n", "a `url` that begins with rediss://"),
    ] {
        let errors = bad(&format!("[bindings.a]\ntype = \"keyvalue\"\nbackend = \"redis\"\n{text}")).to_string();
        assert!(errors.contains(expected) && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn keys_of_other_backends_and_types_are_refused_by_name() {
    for (text, expected) in [
        ("type = \"log\"\nlimits = {}\n", "`limits` on a binding of type \"log\""),
        ("type = \"keyvalue\"\nconnections = 1\n", "only with the backends \"redis\" and \"nats\""),
        ("type = \"keyvalue\"\nbackend = \"memory\"\npath = \"a\"\n", "a key of the backend \"redb\""),
        ("type = \"blob\"\nbackend = \"s3\"\nurl = \"http://h\"\n", "the name of a bucket"),
        (
            "type = \"blob\"\nbackend = \"s3\"\nurl = \"http://h\"\nbucket = \"b\"\nuser = \"a\"\n",
            "both `user`, the id of the access key, and `password`, its secret, or neither",
        ),
        ("type = \"sql\"\nbackend = \"postgres\"\nurl = \"postgres://h/d\"\nbusy_timeout = \"1s\"\n", "\"sqlite\""),
        ("type = \"sql\"\nbackend = \"postgres\"\n", "where the server is"),
        ("type = \"secret\"\n", "a table from names to places"),
        ("type = \"process\"\n", "the program"),
        ("type = \"http_client\"\nhosts = []\n", "unknown key"),
    ] {
        let errors = bad(&format!("[bindings.a]\n{text}")).to_string();
        assert!(errors.contains(expected), "{expected} not in {errors}");
    }
}

#[test]
fn each_type_has_its_own_rules_of_links() {
    let config = good(EVERY_KEY);
    let name = config.modules.iter().find(|module| &*module.name == "name").unwrap();
    let rules = |to: &str| &name.links.iter().find(|link| &*link.to == to).unwrap().rules;
    assert_eq!(rules("log"), &Rules::None);
    assert_eq!(rules("files"), &Rules::Space(Space::Named("common".to_owned())));
    let Rules::Sql(sql) = rules("books") else { panic!("sql") };
    assert!(sql.read_only && sql.tables.as_ref().unwrap() == &["orders", "items"]);
    let Rules::Topics(topics) = rules("events") else { panic!("topics") };
    assert!(topics[0].includes("orders.new") && topics[1].includes("mail.out.now") && topics.len() == 2);
    let Rules::Http(http) = rules("web") else { panic!("http") };
    assert!(http.hosts[1].includes("a.example.org", 8443) && !http.hosts[1].includes("a.example.org", 443));
    assert_eq!(http.methods, Some(vec!["GET".to_owned(), "POST".to_owned()]));
    assert!(http.addresses[0].includes("10.1.2.3".parse().unwrap()));
    assert_eq!(rules("keys"), &Rules::Secrets(vec!["api".to_owned(), "mail".to_owned()]));
    assert!(name.links.iter().find(|link| &*link.to == "files").unwrap().required);
}

#[test]
fn names_of_tables_differ_where_databases_say_that_they_do() {
    let config = good(
        "bindings.db.type = \"sql\"\nmodules.a = { path = \"a\", links = [{ to = \"db\", tables = [\"Orders\", \"É\"] }] }\n",
    );
    let Rules::Sql(rules) = &config.modules[0].links[0].rules else { panic!("sql") };
    assert_eq!(rules.tables.as_ref().unwrap(), &["orders", "É"]);
}

#[test]
fn rules_of_another_type_missing_ones_and_empty_ones_are_refused() {
    let bindings = "bindings = { kv = { type = \"keyvalue\" }, web = { type = \"http_client\" }, \
                    keys = { type = \"secret\", secrets = { a = { file = \"a\" } } }, bus = { type = \"messaging\" } }\n";
    for (link, expected) in [
        ("{ to = \"kv\", hosts = [\"*\"] }", "`hosts` on a link to a binding of type \"keyvalue\""),
        ("{ to = \"kv\", shared = true, prefix = \"a\" }", "`prefix` beside `shared`"),
        ("{ to = \"kv\", prefix = \"\" }", "a name that is not empty"),
        ("\"web\"", "a link to `web` without `hosts`"),
        ("{ to = \"web\", hosts = [] }", "at least one"),
        ("{ to = \"web\", hosts = [\"http://a\"] }", "the hosts that may be asked"),
        ("{ to = \"web\", hosts = [\"a\"], addresses = [\"10.0.0.0/99\"] }", "a number of bits up to 32"),
        ("{ to = \"web\", hosts = [\"a\"], methods = [\"G T\"] }", "a method"),
        ("\"keys\"", "a link to `keys` without `secrets`"),
        ("{ to = \"bus\", topics = [\"a..b\"] }", "no part between its dots"),
        ("{ to = \"bus\", read_only = true }", "it only on links to bindings of type \"sql\""),
    ] {
        let errors = bad(&format!("{bindings}modules.a = {{ path = \"a\", links = [{link}] }}\n")).to_string();
        assert!(errors.contains(expected), "{expected} not in {errors}");
    }
}

#[test]
fn types_without_a_backend_exist_where_something_links_to_them() {
    let names = |text: &str| -> Vec<String> { good(text).bindings.iter().map(|it| it.name.to_string()).collect() };
    assert_eq!(names(""), ["log", "module"]);
    let linked = "modules.a = { path = \"a\", links = [\"config\", \"system\"], config = { a = 1 } }\n";
    assert_eq!(names(linked), ["log", "module", "config", "system"]);
    assert_eq!(names("drop_in.links = [\"metrics\"]\n"), ["log", "module", "metrics"]);
    let config = good(linked);
    assert_eq!(config.modules[0].links[0].rules, Rules::Config(serde_json::json!({ "a": 1 }).into()));
}

#[test]
fn the_table_of_a_module_arrives_as_it_is() {
    let config = good(EVERY_KEY);
    let name = config.modules.iter().find(|module| &*module.name == "name").unwrap();
    let expected = serde_json::json!({
        "greeting": "hello", "retries": 3, "nested": { "list": [1, 2.5, true], "when": "2026-01-01" }
    });
    assert_eq!(*name.config, expected);
    for wrong in ["{ a = nan }", "{ a = [1, inf] }", "{ a = 9223372036854775808 }", "1"] {
        bad(&format!("modules.a = {{ path = \"a\", config = {wrong} }}\n"));
    }
}

#[test]
fn places_of_secrets_are_meant_against_the_file() {
    let config = good(EVERY_KEY);
    let settings = |name: &str| &config.bindings.iter().find(|it| &*it.name == name).unwrap().settings;
    let password = settings("sessions").server().unwrap().password.clone();
    assert_eq!(password, Some(SecretSource::File("/etc/wapcd/redis.password".into())));
    let BindingSettings::Secret(keys) = settings("keys") else { panic!("secret") };
    assert_eq!(keys.secrets["mail"], SecretSource::Credential("mail".to_owned()));
    let BindingSettings::Process(geo) = settings("geo") else { panic!("process") };
    assert_eq!(geo.command, std::path::Path::new("/etc/wapcd/./geo.py"));
}
