//! What runs instead of a file: told where it cannot be kept, and forgotten with its module.

use std::fs;

use crate::{
    guest,
    harness::{Home, eventually},
    stage::{self, put, swap, swapped},
};

#[test]
fn a_swap_that_cannot_be_kept_runs_and_says_so() {
    let home = Home::new(&stage::module("kept", ""));
    home.write("kept.wasm", guest::build(1));
    let daemon = home.start();
    // A directory takes the place of the record.
    fs::create_dir_all(daemon.home().path().join("state/swaps/kept.json/full")).unwrap();
    let answer = swap(&daemon, "kept", &guest::build(2));
    assert_eq!((answer.status, answer.kind()), (507, "swap-not-kept".to_owned()), "{}", answer.text());
    assert!(answer.text().contains("kept.json"), "{}", answer.text());
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(2));
    daemon.log_line(&["cannot write down what runs"]);
    fs::remove_dir_all(daemon.home().path().join("state/swaps/kept.json")).unwrap();
    swapped(&daemon, "kept", &guest::build(3));
    let daemon = daemon.stop().start();
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(3));
}

#[test]
fn after_a_start_of_the_daemon_a_roll_back_of_an_operators_code_leads_to_the_file() {
    let home = Home::new(&stage::module("kept", ""));
    home.write("kept.wasm", guest::build(1));
    let daemon = home.start();
    swapped(&daemon, "kept", &guest::build(2));
    let daemon = daemon.stop().start();
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(2));
    daemon.ctl(&["rollback", "kept"]);
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(1));
    assert_eq!(daemon.module("kept").differs, None);
    assert_eq!(swap(&daemon, "kept", &guest::build(2)).kind(), "swap-refused", "what was rolled back stays away");
    assert_eq!(daemon.wapcctl(&["rollback", "kept"]).status.code(), Some(1), "nothing ran before the file");
    let daemon = daemon.stop().start();
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(1));
}

#[test]
fn a_file_that_is_dropped_again_runs_whatever_an_operator_had_sent_before() {
    let daemon = Home::new("[watch]\nsettle = \"50ms\"\n[drop_in]\n").start();
    let path = daemon.home().path().join("state/modules/again.wasm");
    let is_there = || daemon.call("again", "build", b"").status == 200;
    put(&path, guest::build(1));
    eventually("it runs", is_there);
    swapped(&daemon, "again", &guest::build(2));
    fs::remove_file(&path).unwrap();
    eventually("it is gone", || !is_there());
    put(&path, guest::build(1));
    eventually("it runs again", is_there);
    assert_eq!(stage::running_build(&daemon, "again"), guest::name(1));
    assert_eq!(daemon.module("again").differs, None);
}

#[test]
fn code_that_was_taken_by_force_is_not_barred_any_more() {
    let home = Home::new(&stage::module("kept", ""));
    home.write("kept.wasm", guest::build(1));
    let daemon = home.start();
    swapped(&daemon, "kept", &guest::build(2));
    daemon.ctl(&["rollback", "kept"]);
    let file = daemon.home().path().join("two.wasm");
    fs::write(&file, guest::build(2)).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(daemon.wapcctl(&["swap", "kept", file]).status.code(), Some(1));
    daemon.ctl(&["swap", "kept", file, "--force"]);
    swapped(&daemon, "kept", &guest::build(3));
    daemon.ctl(&["swap", "kept", file]);
    assert_eq!(stage::running_build(&daemon, "kept"), guest::name(2));
}
