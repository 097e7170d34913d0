//! Reloads: what differs changes, everything else goes on as if nothing had been, and a mistake changes nothing.

use std::collections::BTreeMap;

use rustix::process::Signal;
use wapcd::supervisor::{
    events::What,
    status::{ChangeStatus, ModuleState, ReloadReport},
};

use crate::{
    client::Response,
    guest,
    harness::{Daemon, Home, eventually},
    stage::{Kept, module, sized},
    told::Told,
};

/// Asks for a reload.
pub(crate) fn ask(daemon: &Daemon, query: &str) -> Response {
    daemon.request("POST", &format!("/v1/reload{query}"), "", b"").unwrap()
}

/// The same, which must succeed.
pub(crate) fn reloaded(daemon: &Daemon, query: &str) -> ReloadReport {
    let answer = ask(daemon, query);
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// The changes of a report, each as `action subject`.
pub(crate) fn changes(report: &ReloadReport) -> Vec<String> {
    let change = |change: &ChangeStatus| {
        assert_eq!(change.error, None, "{change:?}");
        format!("{} {}", change.action, change.subject)
    };
    report.changes.iter().map(change).collect()
}

/// Build 1, build 2, and no build.
pub(crate) fn put_code(home: &Home) {
    home.write("plain.wasm", guest::build(1));
    home.write("other.wasm", guest::build(2));
    home.write("prose.wasm", "This is prose.");
}

/// A daemon with build 1 in `plain.wasm` and build 2 in `other.wasm`, for this configuration.
pub(crate) fn start(toml: &str) -> (Daemon, Told) {
    let home = Home::new(toml);
    put_code(&home);
    let daemon = home.start();
    let told = Told::follow(&daemon);
    (daemon, told)
}

pub(crate) fn plain(name: &str, keys: &str) -> String {
    module(name, keys).replace(&format!("{name}.wasm"), "plain.wasm")
}

pub(crate) fn kept(daemon: &Daemon) -> BTreeMap<String, Kept> {
    Kept::of_all(&daemon.status())
}

#[test]
fn of_many_modules_only_the_one_that_changes_does() {
    let many = sized(40, 100);
    let text = |changed: &str| {
        let names = (0..many).map(|n| plain(&format!("m{n}"), if n == 7 { changed } else { "" }));
        format!("[daemon]\nworkers = 2\n[watch]\nmode = \"off\"\n{}", names.collect::<String>())
    };
    let (daemon, told) = start(&text(""));
    let names: Vec<_> = (0..many).map(|n| format!("m{n}")).collect();
    let count = |expected: &str| {
        for name in &names {
            assert_eq!(daemon.call(name, "count", b"").text(), expected, "{name}");
        }
    };
    count("1");
    let (before, uptimes) = (kept(&daemon), daemon.status());

    // Limits change in place: even that module keeps its memory.
    daemon.home().configure(&text("limits = { payload = \"1 KiB\" }"));
    let report = reloaded(&daemon, "");
    assert_eq!(changes(&report), ["adjust modules.m7"]);
    assert_eq!(report.changes[0].keys, ["limits.payload"]);
    count("2");
    assert_eq!(kept(&daemon), before);
    assert_eq!(daemon.call("m7", "echo", &[0; 2_000]).kind(), "payload-too-large");

    // Another file is a swap of that module; the others do not notice.
    let swapped = text("").replace("[modules.m7]\npath = \"plain.wasm\"", "[modules.m7]\npath = \"other.wasm\"");
    daemon.home().configure(&swapped);
    let seen = told.count();
    daemon.signal(Signal::HUP);
    told.wait(seen, "the reload", |event| matches!(event.what, What::Reloaded { .. }));
    eventually("the new code runs", || daemon.call("m7", "build", b"").text() == guest::name(2));
    let mut after = kept(&daemon);
    assert_eq!(daemon.module("m7").generation, 2);
    assert_eq!(daemon.module("m7").instances[0].id, uptimes.modules[7].instances[0].id);
    after.insert("m7".to_owned(), before["m7"].clone());
    assert_eq!(after, before);
    for name in names.iter().filter(|name| *name != "m7") {
        assert_eq!(daemon.call(name, "count", b"").text(), "3", "{name}");
    }
    let now = daemon.status();
    for (before, now) in uptimes.modules.iter().zip(&now.modules) {
        assert!(now.uptime_s > before.uptime_s && now.instances[0].uptime_s > before.instances[0].uptime_s, "{now:?}");
    }
    assert_eq!((now.configuration.reloads, now.configuration.reloads_refused), (2, 0));
}

#[test]
fn a_link_that_is_revoked_is_refused_from_the_next_host_call_on() {
    let text = |links: &str| {
        let bindings = "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\n";
        format!("[daemon]\nworkers = 2\n{bindings}{}", plain("linked", links))
    };
    let (daemon, _told) = start(&text("links = [\"store\"]"));
    let increment = || daemon.call("linked", "incr", b"{\"key\":\"n\"}").outcome();
    assert_eq!(increment(), (200, "{\"value\":1}".to_owned()));
    let before = kept(&daemon);
    daemon.home().configure(&text(""));
    assert_eq!(changes(&reloaded(&daemon, "")), ["adjust modules.linked"]);
    let (status, said) = increment();
    assert!(status == 422 && said.contains("not_granted"), "{said}");
    daemon.home().configure(&text("links = [{ binding = \"store\", to = \"store\", operations = [\"get\"] }]"));
    reloaded(&daemon, "");
    assert_eq!(increment().0, 422);
    daemon.home().configure(&text("links = [\"store\"]"));
    reloaded(&daemon, "");
    // The binding was not touched, and neither was the guest.
    assert_eq!(increment(), (200, "{\"value\":2}".to_owned()));
    assert_eq!(kept(&daemon), before);
}

#[test]
fn bindings_groups_and_modules_come_and_go_with_what_they_need() {
    let text = |more: &str| format!("[daemon]\nworkers = 2\n{}{more}", plain("stays", ""));
    let (daemon, _told) = start(&text(""));
    assert_eq!(daemon.call("stays", "count", b"").text(), "1");
    let before = Kept::of(&daemon.module("stays"));
    let bindings = daemon.status().bindings.len();

    let family = format!(
        "[bindings.store]\ntype = \"keyvalue\"\n[groups.family]\nstrategy = \"one_for_all\"\nmembers = [\"a\", \"b\"]\n{}{}",
        plain("a", "links = [\"store\"]"),
        plain("b", "instances = 2")
    );
    daemon.home().configure(&text(&family));
    let mut added = changes(&reloaded(&daemon, ""));
    added.sort();
    assert_eq!(added, ["add bindings.store", "add groups.family", "add modules.a", "add modules.b"]);
    eventually("both run", || ["a", "b"].iter().all(|name| daemon.module(name).state == ModuleState::Running));
    assert_eq!(daemon.call("a", "incr", b"{\"key\":\"n\"}").outcome(), (200, "{\"value\":1}".to_owned()));
    let status = daemon.status();
    assert_eq!((status.bindings.len(), status.groups.len(), status.modules.len()), (bindings + 1, 1, 3));
    // The group is one: when a member fails, all members start anew.
    let other = daemon.module("b").instances[0].id;
    assert_eq!(daemon.call("a", "trap", b"").kind(), "trapped");
    eventually("the group starts anew", || {
        let b = daemon.module("b");
        b.state == ModuleState::Running && b.instances.iter().all(|instance| instance.id > other)
    });

    daemon.home().configure(&text(""));
    let mut removed = changes(&reloaded(&daemon, ""));
    removed.sort();
    assert_eq!(removed, ["remove bindings.store", "remove groups.family", "remove modules.a", "remove modules.b"]);
    eventually("all are gone", || daemon.status().modules.len() == 1);
    assert_eq!(daemon.call("a", "build", b"").kind(), "no-such-module");
    let status = daemon.status();
    assert_eq!((status.bindings.len(), status.groups.len()), (bindings, 0));
    assert_eq!(daemon.call("stays", "count", b"").text(), "2");
    assert_eq!(Kept::of(&daemon.module("stays")), before);

    // What a binding kept is there when it comes back.
    daemon.home().configure(&text(&family));
    reloaded(&daemon, "");
    eventually("it runs", || daemon.module("a").state == ModuleState::Running);
    assert_eq!(daemon.call("a", "incr", b"{\"key\":\"n\"}").outcome(), (200, "{\"value\":2}".to_owned()));
}

#[test]
fn included_files_are_part_of_the_configuration_and_reload_it_when_they_may() {
    let own = "include = [\"conf.d/*.toml\"]\n[daemon]\nworkers = 2\n[watch]\nsettle = \"50ms\"\nconfig = true\n";
    let home = Home::new(&format!("{own}{}", plain("one", "")));
    home.write("plain.wasm", guest::build(1));
    home.write("other.wasm", guest::build(2));
    std::fs::create_dir(home.path().join("conf.d")).unwrap();
    home.write("conf.d/two.toml", plain("two", "").replace("plain.wasm", "../plain.wasm"));
    let daemon = home.start();
    assert_eq!(daemon.call("two", "count", b"").text(), "1");
    daemon.home().write("conf.d/three.toml", plain("three", "").replace("plain.wasm", "../other.wasm"));
    eventually("the third runs", || daemon.call("three", "build", b"").text() == guest::name(2));
    assert_eq!(daemon.call("two", "count", b"").text(), "2");
    std::fs::remove_file(daemon.home().path().join("conf.d/three.toml")).unwrap();
    eventually("it is gone", || daemon.call("three", "build", b"").status == 404);
    daemon.home().write("conf.d/two.toml", "[modules.two]\n");
    eventually("the mistake is told", || daemon.status().configuration.last_error.is_some());
    assert_eq!(daemon.call("two", "count", b"").text(), "3");
}

#[test]
fn reloads_that_arrive_together_run_one_after_the_other() {
    let text = |n: usize| format!("[daemon]\nworkers = 2\n{}{}", plain("stays", ""), plain(&format!("m{n}"), ""));
    let (daemon, told) = start(&text(0));
    let asked: Vec<_> = (1..=8)
        .map(|n| {
            daemon.home().configure(&text(n));
            let client = daemon.client();
            std::thread::spawn(move || client.request("POST", "/v1/reload", "", b"").unwrap())
        })
        .collect();
    for asked in asked {
        let answer = asked.join().unwrap();
        // One that reads the file while it is written may find half of it, and says so.
        assert!([200, 422].contains(&answer.status), "{}", answer.text());
    }
    reloaded(&daemon, "");
    eventually("only those of the last one are there", || {
        let modules = daemon.status().modules;
        modules.iter().map(|module| module.name.as_str()).eq(["stays", "m8"])
    });
    eventually("it runs", || daemon.call("m8", "build", b"").status == 200);
    eventually("each module that came but the last has gone, as the first one has", || {
        let (mut added, mut removed) = (0, 0);
        for event in told.all() {
            added += usize::from(matches!(event.what, What::Added));
            removed += usize::from(matches!(event.what, What::Removed));
        }
        added == removed && added > 0
    });
}
