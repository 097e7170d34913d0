//! `[modules.NAME.config]`: what a table becomes, what it may not hold, and what a change of it takes.

use serde_json::json;

use super::{
    super::{Rules, plan},
    bad, good,
};

const CONFIG: &str = "[bindings.settings]\ntype = \"config\"\n";

fn module(table: &str) -> String {
    format!("{CONFIG}[modules.a]\npath = \"a\"\nlinks = [\"settings\"]\n{table}")
}

#[test]
fn a_table_becomes_the_values_that_json_has_and_comes_with_the_link() {
    let text = module(
        "[modules.a.config]\ntext = \"t\"\nwhole = 3\nbig = 0x7fff_ffff_ffff_ffff\nratio = 1.0\non = true\n\
         at = 1979-05-27T07:32:00Z\nlist = [1, \"a\", { b = [] }]\n\"with.dots\" = { x = {} }\n",
    );
    let module = good(&text).modules.remove(0);
    let expected = json!({
        "text": "t", "whole": 3, "big": i64::MAX, "ratio": 1.0, "on": true, "at": "1979-05-27T07:32:00Z",
        "list": [1, "a", {"b": []}], "with.dots": {"x": {}},
    });
    assert_eq!(*module.config, expected);
    assert_eq!(module.links[0].rules, Rules::Config(module.config.clone()));
}

#[test]
fn a_module_without_the_table_has_an_empty_one() {
    let module = good(&module("")).modules.remove(0);
    assert_eq!(*module.config, json!({}));
    assert_eq!(module.links[0].rules, Rules::Config(module.config.clone()));
}

#[test]
fn numbers_that_no_guest_could_read_are_refused_by_their_path() {
    for (table, path) in [
        ("config = { a = { b = [1, nan] } }\n", "modules.a.config.a.b[1]"),
        ("config = { a = inf }\n", "modules.a.config.a"),
        ("config = { a = 9223372036854775808 }\n", "modules.a.config.a"),
        ("config = 7\n", "modules.a.config"),
    ] {
        let errors = bad(&module(table)).to_string();
        assert!(errors.contains(path), "{errors}");
    }
}

#[test]
fn another_table_is_adjusted_and_restarts_nothing() {
    let lines = |old: &str, new: &str| {
        let plan = plan(&good(&module(old)), &good(&module(new)));
        plan.changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let (one, other) = ("config = { a = 1 }\n", "config = { a = 2 }\n");
    for (old, new) in [(one, other), ("", one), (one, "")] {
        let told = lines(old, new);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("adjust modules.a (") && told[0].contains("config"), "{told:?}");
    }
    assert_eq!(lines(one, one), [""; 0]);
}
