//! The drop-in directory itself: it goes, comes again, is opened to everybody, and what it may link to is taken back.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::{
    drops::{Drops, home},
    guest,
    harness::{eventually, pause_for},
    reload::reloaded,
    stage::{Kept, last_swap_error, module},
};

const STORE: &str = "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\n";

/// Payload of a call that sets a number under a key.
const INCREMENT: &[u8] = b"{\"key\":\"n\"}";

/// What `drops::home` writes, once more with other keys.
fn configuration(keys: &str, rest: &str) -> String {
    format!("[watch]\nsettle = \"50ms\"\npoll = \"100ms\"\n[drop_in]\ndir = \"dropped\"\n{keys}{rest}")
}

/// A daemon whose broken directory is looked at ten times a second.
fn drops(keys: &str, rest: &str) -> Drops {
    let home = home(keys, rest);
    home.configure(&configuration(keys, rest));
    Drops::started(home)
}

#[test]
fn a_link_that_dropped_modules_may_not_have_any_more_is_refused_though_their_settings_still_name_it() {
    let drops = drops("links = [\"store\"]\n", STORE);
    drops.put("hello.toml", "links = [\"store\"]\n");
    drops.put("hello.wasm", guest::build(1));
    drops.wait_for_build("hello", 1);
    let before = Kept::of(&drops.module("hello"));
    assert_eq!(drops.call("hello", "incr", INCREMENT).status, 200);

    drops.home().configure(&configuration("", STORE));
    reloaded(&drops, "");
    let refused = drops.call("hello", "incr", INCREMENT);
    assert_eq!((refused.status, refused.kind().as_str()), (422, "guest-error"), "{}", refused.text());
    drops.wait_for_refusal("hello.toml", "store");
    assert_eq!(Kept::of(&drops.module("hello")), before);

    drops.home().configure(&configuration("links = [\"store\"]\n", STORE));
    reloaded(&drops, "");
    assert_eq!(drops.call("hello", "incr", INCREMENT).status, 200);
}

/// Lets two paths change places in one step: for a moment in which there is no directory its modules would be gone.
fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn a_directory_that_cannot_be_read_leaves_its_modules_alone_until_it_can() {
    let drops = drops("", "");
    let (directory, aside) = (drops.file(""), drops.home().path().join("aside"));
    let directory = directory.components().as_path();
    fs::write(&aside, "no directory").unwrap();
    drops.put("stays.wasm", guest::build(1));
    drops.put("goes.wasm", guest::build(1));
    drops.wait_for_build("stays", 1);
    drops.wait_for_build("goes", 1);

    exchange(directory, &aside);
    drops.wait_for_refusal(".", "cannot read directory");
    assert_eq!(drops.running(), 2);
    // A module of the configuration takes the name, and no other module has it.
    drops.home().write("goes.wasm", guest::build(2));
    drops.home().configure(&configuration("", &module("goes", "")));
    reloaded(&drops, "");
    drops.wait_for_build("goes", 2);
    let named = drops.status().modules.iter().filter(|module| module.name == "goes").count();
    assert_eq!(named, 1);
    drops.home().configure(&configuration("", ""));
    reloaded(&drops, "");
    eventually("the one of the configuration is gone", || drops.find("goes").is_none());

    exchange(directory, &aside);
    eventually("the directory is read again", || drops.refusal(".").is_none());
    drops.wait_for_build("goes", 1);
    drops.wait_for_build("stays", 1);

    // What went while nobody could see it is gone.
    exchange(directory, &aside);
    drops.wait_for_refusal(".", "cannot read directory");
    fs::remove_file(directory).unwrap();
    fs::create_dir(directory).unwrap();
    drops.wait_for_end("stays");
    drops.wait_for_end("goes");
    eventually("nothing is refused any more", || drops.refusal(".").is_none());
}

#[test]
fn a_directory_that_everybody_may_write_gives_no_code_to_modules_that_run() {
    let drops = drops("", "");
    drops.put("hello.wasm", guest::build(1));
    drops.wait_for_build("hello", 1);
    fs::set_permissions(drops.file(""), Permissions::from_mode(0o777)).unwrap();
    drops.put("hello.wasm", guest::build(2));
    eventually("the file is refused", || last_swap_error(&drops.module("hello")).contains("chmod o-w"));
    assert_eq!(drops.call("hello", "build", b"").text(), guest::name(1));

    fs::set_permissions(drops.file(""), Permissions::from_mode(0o755)).unwrap();
    pause_for(std::time::Duration::from_millis(10));
    drops.put("hello.wasm", guest::build(3));
    drops.wait_for_build("hello", 3);
}

#[test]
fn a_dropped_module_that_finds_no_room_keeps_nothing_else_from_being_applied() {
    let drops = drops("", "");
    drops.put("many.wasm", guest::build(1));
    drops.wait_for_build("many", 1);
    drops.put("many.toml", "instances = 50000\n");
    drops.wait_for_refusal("many.toml", "no room");
    assert_eq!(drops.module("many").instances.len(), 1);
    // A new one that needs so much is refused as well, and one that needs little runs.
    drops.put("much.toml", "instances = 100000\n");
    drops.put("much.wasm", guest::build(1));
    drops.wait_for_refusal("much.wasm", "instances");
    drops.put("small.wasm", guest::build(1));
    drops.wait_for_build("small", 1);
    assert_eq!(reloaded(&drops, "").changes, []);
    fs::remove_file(drops.file("small.wasm")).unwrap();
    drops.wait_for_end("small");

    drops.put("many.toml", "instances = 2\n");
    drops.wait_for_instances("many", 2);
    assert_eq!(drops.refusal("many.toml"), None);

    // Nor does it keep the daemon from starting.
    drops.put("many.toml", "instances = 50000\n");
    drops.wait_for_refusal("many.toml", "no room");
    drops.put("small.wasm", guest::build(2));
    drops.wait_for_build("small", 2);
    let drops = Drops::started(drops.daemon.stop());
    drops.wait_for_build("small", 2);
    drops.wait_for_refusal("many.wasm", "instances");
}
