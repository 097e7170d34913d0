//! Where inboxes may be.

use super::{
    super::{AfterFile, TriggerSettings},
    bad, good,
};

const MODULE: &str = "[modules.m]\npath = \"m.wasm\"\n";

fn trigger(name: &str, dir: &str) -> String {
    let dir = if dir.is_empty() { String::new() } else { format!("dir = \"{dir}\"\n") };
    format!("[triggers.{name}]\ntype = \"files\"\nmodule = \"m\"\noperation = \"take\"\n{dir}")
}

#[test]
fn an_inbox_has_the_name_of_its_trigger_in_the_state_directory() {
    let config = good(&format!("{MODULE}{}{}", trigger("in", ""), trigger("other", "/srv/in")));
    let TriggerSettings::Files(settings) = &config.triggers[0].settings else { panic!("{:?}", config.triggers) };
    assert_eq!(settings.dir.to_str(), Some("/home/ada/state/wapcd/in"));
    assert_eq!((settings.concurrency, settings.attempts, settings.after), (1, 5, AfterFile::Keep));
}

#[test]
fn an_inbox_is_apart_from_other_inboxes_and_from_what_the_daemon_keeps() {
    let extra = "[drop_in]\n[bindings.kv]\ntype = \"keyvalue\"\n";
    for (others, dir, expected) in [
        (trigger("other", "shared"), "shared", "belongs to the trigger `other`"),
        (trigger("other", "shared"), "shared/../shared/.", "belongs to the trigger `other`"),
        (trigger("other", "out"), "out/done", "`other`, in whose inbox it is"),
        (trigger("other", "out/deep/er"), "out", "`in`, in whose inbox it is"),
        (String::new(), "code", "which is in the code that the daemon keeps"),
        (String::new(), "swaps/x", "which is in the code that the daemon keeps"),
        (String::new(), "modules", "which is in the drop-in directory"),
        (String::new(), "modules/in", "which is in the drop-in directory"),
        (String::new(), ".", "which holds"),
        (String::new(), "/home/ada", "which holds"),
        (String::new(), "/etc/wapcd", "which holds"),
        (String::new(), "/run/user/1000", "which holds the runtime directory"),
    ] {
        let errors = bad(&format!("{MODULE}{extra}{others}{}", trigger("in", dir))).to_string();
        assert!(errors.contains(".dir: found") && errors.contains(expected), "{dir}: {errors}");
    }
    good(&format!("{MODULE}{extra}{}{}", trigger("a", "in/a"), trigger("b", "in/b")));
}
