//! The drop-in directory: its files are modules, under the limits that are set for them.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use wapcd::supervisor::{events::What, status::ModuleState};

use crate::{
    drops::{Drops, home, may_chown},
    guest,
    harness::{eventually, pause_for},
    load::figure,
    stage::{Kept, last_swap_error, module, sized},
};

/// Payload of a call that sets a number under a key.
const INCREMENT: &[u8] = b"{\"key\":\"n\"}";

const STORE: &str = "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\n";

#[test]
fn a_file_that_appears_is_a_module_until_it_goes() {
    let drops = Drops::start("", "");
    drops.put("hello.wasm", guest::build(1));
    drops.wait_for_build("hello", 1);
    let status = drops.module("hello");
    assert_eq!((status.declared.as_str(), status.path), ("dropped", drops.file("hello.wasm").display().to_string()));
    drops.told.wait_for_quiet(Duration::from_millis(100));
    let added = |what: &What| matches!(what, What::Added);
    assert_eq!(drops.told.of("hello", 0).iter().filter(|event| added(&event.what)).count(), 1);

    drops.put("hello.wasm", guest::build(2));
    drops.wait_for_build("hello", 2);
    drops.told.wait_for_quiet(Duration::from_millis(100));
    assert_eq!(drops.told.swaps(0, "hello").len(), 1);
    assert_eq!(drops.module("hello").instances[0].id, status.instances[0].id);

    fs::remove_file(drops.file("hello.wasm")).unwrap();
    drops.wait_for_end("hello");
    drops.told.wait_for_quiet(Duration::from_millis(100));
    let removed = |what: &What| matches!(what, What::Removed);
    assert_eq!(drops.told.of("hello", 0).iter().filter(|event| removed(&event.what)).count(), 1);

    // It may come again, as another.
    drops.put("hello.wasm", guest::build(3));
    drops.wait_for_build("hello", 3);
}

#[test]
fn settings_beside_the_file_hold_while_they_are_there() {
    let drops = Drops::start("links = [\"store\"]\n", STORE);
    drops.put("hello.toml", "links = [\"store\"]\nlimits = { payload = \"1 KiB\" }\n");
    drops.put("hello.wasm", guest::build(1));
    drops.wait_for_build("hello", 1);
    let before = Kept::of(&drops.module("hello"));
    assert_eq!(drops.call("hello", "incr", INCREMENT).status, 200);
    assert_eq!(drops.call("hello", "echo", &[b'x'; 2_000]).kind(), "payload-too-large");

    drops.put("hello.toml", "limits = { payload = \"4 KiB\" }\n");
    eventually("the limit is another", || drops.call("hello", "echo", &[b'x'; 2_000]).status == 200);
    let refused = drops.call("hello", "incr", INCREMENT);
    assert_eq!((refused.status, refused.kind().as_str()), (422, "guest-error"), "{}", refused.text());

    // A mistake changes nothing and is told.
    drops.put("hello.toml", "limits = { payload = \"2 bananas\" }\n");
    drops.wait_for_refusal("hello.toml", "payload");
    assert_eq!(drops.call("hello", "echo", &[b'x'; 2_000]).status, 200);
    assert_eq!(drops.call("hello", "echo", &[b'x'; 5_000]).kind(), "payload-too-large");

    fs::remove_file(drops.file("hello.toml")).unwrap();
    eventually("the defaults hold", || drops.call("hello", "echo", &[b'x'; 5_000]).status == 200);
    eventually("nothing is refused any more", || drops.refusal("hello.toml").is_none());
    assert_eq!(Kept::of(&drops.module("hello")), before);
}

#[test]
fn a_dropped_module_links_only_to_what_dropped_modules_may() {
    let drops = Drops::start("links = [\"log\"]\n", STORE);
    drops.put("hello.toml", "links = [\"store\"]\n");
    drops.put("hello.wasm", guest::build(1));
    drops.wait_for_refusal("hello.toml", "store");
    // Whether it runs without its settings or not at all, it does not reach the binding.
    assert_ne!(drops.call("hello", "incr", INCREMENT).status, 200);
    drops.put("hello.toml", "links = [\"log\"]\n");
    drops.wait_for_build("hello", 1);
    assert_ne!(drops.call("hello", "incr", INCREMENT).status, 200);
    eventually("nothing is refused any more", || drops.refusal("hello.toml").is_none());
}

#[test]
fn names_that_are_none_are_refused_and_temporary_names_are_not_looked_at() {
    let drops = Drops::start("", "");
    let long = format!("{}.wasm", "x".repeat(65));
    let bad = ["Upper.wasm", "two words.wasm", "dot.ted.wasm", long.as_str()];
    for name in bad {
        drops.put(name, guest::build(1));
        drops.wait_for_refusal(name, "a-z");
    }
    let temporary = [".hidden.wasm", "editor.wasm~", "half.wasm.part", "half.part", "half.wasm.tmp", "half.tmp", ".x"];
    for name in temporary {
        fs::write(drops.file(name), guest::build(1)).unwrap();
    }
    drops.put("good.wasm", guest::build(2));
    drops.wait_for_build("good", 2);
    assert_eq!(drops.status().modules.len(), 1);
    assert_eq!(drops.status().drop_in.unwrap().refused.len(), bad.len());
    // A temporary name that gets its right one is a module.
    fs::rename(drops.file("half.part"), drops.file("half.wasm")).unwrap();
    drops.wait_for_build("half", 1);
    for name in bad {
        fs::remove_file(drops.file(name)).unwrap();
    }
    eventually("nothing is refused any more", || drops.status().drop_in.unwrap().refused.is_empty());
}

#[test]
fn a_configured_module_wins_over_a_dropped_one_of_its_name() {
    let home = home("", &module("hello", ""));
    home.write("hello.wasm", guest::build(1));
    let drops = Drops::started(home);
    let before = Kept::of(&drops.module("hello"));
    drops.put("hello.wasm", guest::build(2));
    drops.wait_for_refusal("hello.wasm", "configur");
    assert_eq!(drops.call("hello", "build", b"").text(), guest::name(1));
    assert_eq!((Kept::of(&drops.module("hello")), drops.module("hello").declared.as_str()), (before, "configured"));
    fs::remove_file(drops.file("hello.wasm")).unwrap();
    eventually("nothing is refused any more", || drops.refusal("hello.wasm").is_none());
    assert_eq!(drops.call("hello", "build", b"").text(), guest::name(1));
}

#[test]
fn files_that_others_may_write_are_refused_until_they_may_not() {
    let drops = Drops::start("owners = [\"4711\"]\n", "");
    drops.put_as("open.wasm", &guest::build(1), 0o666, None);
    drops.wait_for_refusal("open.wasm", "writ");
    fs::set_permissions(drops.file("open.wasm"), Permissions::from_mode(0o644)).unwrap();
    drops.wait_for_build("open", 1);
    eventually("nothing is refused any more", || drops.refusal("open.wasm").is_none());

    // New code that others may write does not take over.
    drops.put_as("open.wasm", &guest::build(2), 0o602, None);
    eventually("the status says so", || last_swap_error(&drops.module("open")).contains("can be written by everybody"));
    assert_eq!(drops.call("open", "build", b"").text(), guest::name(1));

    fs::write(drops.file("probe.tmp"), b"").unwrap();
    if may_chown(&drops.file("probe.tmp")) {
        drops.put_as("foreign.wasm", &guest::build(1), 0o644, Some(4_712));
        drops.wait_for_refusal("foreign.wasm", "belongs to");
        assert!(drops.find("foreign").is_none());
        drops.put_as("listed.wasm", &guest::build(1), 0o644, Some(4_711));
        drops.wait_for_build("listed", 1);
    }
}

#[test]
fn for_development_files_are_taken_whoever_may_write_them() {
    let drops = Drops::start("allow_unsafe_permissions = true\n", "");
    drops.put_as("open.wasm", &guest::build(1), 0o666, None);
    drops.wait_for_build("open", 1);
}

#[test]
fn a_dropped_file_that_is_no_guest_says_why_and_leaves_the_others_alone() {
    let drops = Drops::start("", "");
    drops.put("good.wasm", guest::build(1));
    drops.wait_for_build("good", 1);
    let before = Kept::of(&drops.module("good"));
    drops.put("bad.wasm", b"This is prose.");
    eventually("the module has failed", || drops.find("bad").is_some_and(|bad| bad.state == ModuleState::Failed));
    let causes = drops.module("bad").last_exit.unwrap().causes.join(": ");
    assert!(causes.contains("magic number"), "{causes}");
    drops.put("bad.wasm", guest::build(2));
    drops.wait_for_build("bad", 2);
    assert_eq!(Kept::of(&drops.module("good")), before);
}

#[test]
fn a_dropped_file_runs_only_when_its_slow_writer_is_done() {
    let drops = Drops::start("", "");
    let bytes = guest::build(1);
    let (start, data) = bytes.split_at(guest::without_data(&bytes).len());
    let mut file = File::create(drops.file("slow.wasm")).unwrap();
    file.write_all(start).unwrap();
    pause_for(Duration::from_millis(400));
    assert!(drops.find("slow").is_none(), "{:?}", drops.find("slow"));
    file.write_all(data).unwrap();
    drop(file);
    drops.wait_for_build("slow", 1);
    assert_eq!(drops.told.swaps(0, "slow"), []);
}

#[test]
fn a_file_that_gets_another_name_is_another_module() {
    let drops = Drops::start("", "");
    drops.put("old.wasm", guest::build(1));
    drops.wait_for_build("old", 1);
    fs::rename(drops.file("old.wasm"), drops.file("new.wasm")).unwrap();
    drops.wait_for_build("new", 1);
    drops.wait_for_end("old");
}

#[test]
fn many_files_that_are_dropped_at_once_all_run_once_and_still_do_after_a_restart() {
    let many = sized(100, 500);
    let drops = Drops::start("", "");
    let began = Instant::now();
    for n in 0..many {
        drops.put(&format!("m{n}.wasm"), guest::build(n));
    }
    // Compiling them takes what it takes; what counts is that it goes on.
    let mut running = 0;
    while running < many as usize {
        eventually("more of them run", || drops.running() > running);
        running = drops.running();
    }
    let ran = began.elapsed();
    for n in (0..many).step_by(7) {
        assert_eq!(drops.call(&format!("m{n}"), "build", b"").text(), guest::name(n));
    }
    drops.told.wait_for_quiet(Duration::from_millis(100));
    let added = drops.told.all().into_iter().filter(|event| matches!(event.what, What::Added)).count();
    assert_eq!(added, many as usize);

    for n in 20..many {
        fs::remove_file(drops.file(&format!("m{n}.wasm"))).unwrap();
    }
    eventually("the others are gone", || drops.status().modules.len() == 20);

    let began = Instant::now();
    let drops = Drops::started(drops.daemon.stop());
    eventually("all of them run again", || drops.running() == 20);
    figure(&format!("{many} dropped files run {ran:.1?} later; a start with 20 of them takes {:.1?}", began.elapsed()));
    for n in 0..20 {
        assert_eq!(drops.call(&format!("m{n}"), "build", b"").text(), guest::name(n));
    }
}
