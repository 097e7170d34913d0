//! A binding that is a program: the example as it is delivered, and a program's ends as the daemon tells and bears them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use wapcd::supervisor::status::BindingStatus;

use crate::harness::{Daemon, Home, eventually, guest_file, module, pause_for};

/// A binding whose program does what it is asked, right or wrong.
fn program(how: &str, settings: &str) -> String {
    let (script, library) = (guest_file("src/bindings/process/tests.py"), guest_file("examples/process"));
    format!(
        "[bindings.geo]\ntype = \"process\"\ncommand = \"python3\"\nargs = [{script:?}, {how:?}]\n\
         env = {{ PYTHONPATH = {library:?}, PYTHONDONTWRITEBYTECODE = \"1\" }}\n{settings}\n{}",
        module("asker", "links = [\"geo\"]\nlimits = { call_timeout = \"1m\" }")
    )
}

const QUICK: &str = "restart = { backoff = { initial = \"1ms\", max = \"1ms\" } }";

fn ask(daemon: &Daemon, operation: &str, payload: &str) -> (u16, String) {
    daemon.call("asker", &format!("host/geo//{operation}"), payload.as_bytes()).outcome()
}

fn binding(daemon: &Daemon, name: &str) -> BindingStatus {
    let response = daemon.request("GET", "/v1/bindings", "", b"").unwrap();
    let bindings: Vec<BindingStatus> = serde_json::from_slice(&response.body).unwrap();
    bindings.into_iter().find(|binding| binding.name == name).unwrap()
}

fn pid(daemon: &Daemon) -> Pid {
    let (_, text) = ask(daemon, "surroundings", "");
    let facts: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    Pid::from_raw(facts["pid"].as_i64().unwrap().try_into().unwrap()).unwrap()
}

fn is_gone(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    // An orphan may wait as a zombie for whoever took it over.
    test_kill_process(pid).is_err() || status.contains("State:\tZ")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn the_example_greets_and_counts_over_restarts_of_its_program() {
    let home = Home::new("");
    copy(&guest_file("examples/process"), home.path());
    let relay = guest_file("examples/quickstart/relay/relay.wasm");
    let toml = fs::read_to_string(guest_file("examples/process/wapcd.toml")).unwrap();
    home.write("wapcd.toml", toml.replace("../quickstart/relay/relay.wasm", relay.to_str().unwrap()));
    let daemon = home.start();
    let welcome = |name: &str| daemon.call("relay", "welcome", name.as_bytes()).outcome();
    assert_eq!(welcome("Ada"), (200, "Hello, Ada! You are visitor 1.".to_owned()));
    assert_eq!(welcome("Grace"), (200, "Hello, Grace! You are visitor 2.".to_owned()));
    assert!(welcome(" ").1.starts_with("bad_request: expected a name"));
    let started = daemon.log_line(&["program started", "visitors"]);
    let pid = Pid::from_raw(started["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    eventually("the program runs again", || binding(&daemon, "visitors").restarts == 1);
    eventually("it counts on", || welcome("Ada").1.starts_with("Hello, Ada! You are visitor "));
    daemon.stop();
}

#[test]
fn a_program_that_dies_is_started_anew_and_its_end_is_told() {
    let daemon = Daemon::start(&program("", QUICK));
    let first = pid(&daemon);
    let (status, error) = ask(&daemon, "die", "");
    let why = "exit code 5; its last line: I die";
    assert_eq!(status, 422);
    assert_eq!(error, "unavailable: the program of binding `geo` has ended");
    // The call waits until there is a program again.
    eventually("it answers again", || ask(&daemon, "echo", "well") == (200, "well".to_owned()));
    let status = binding(&daemon, "geo");
    assert_eq!(status.restarts_by_reason, BTreeMap::from([("backend_ended".to_owned(), 1)]));
    let exit = status.last_exit.unwrap();
    assert!(exit.reason == "backend_ended" && exit.causes == [why], "{exit:?}");
    assert!(is_gone(first) && pid(&daemon) != first);
    assert_eq!(daemon.log_line(&["I die", "wapcd::process"])["binding"], "geo");
    daemon.stop();
}

#[test]
fn a_program_that_always_dies_fails_by_its_intensity_and_others_go_on() {
    let settings =
        "restart = { intensity = 2, retry_failed = \"never\", backoff = { initial = \"1ms\", max = \"1ms\" } }";
    let other = module("other", "links = [\"log\"]");
    let daemon = Home::new(&format!("{}{other}", program("exit", settings))).spawn("log");
    eventually("it has failed", || daemon.try_status().is_some() && binding(&daemon, "geo").state.as_str() == "failed");
    let exit = binding(&daemon, "geo").last_exit.unwrap();
    let causes = exit.causes.join(": ");
    assert_eq!(exit.reason, "start_failed");
    assert!(causes.contains("cannot start the program `python3`: exit code 3; its last line: no way"), "{causes}");
    eventually("the other module runs", || daemon.call("other", "echo", b"x").status == 200);
}

#[test]
fn a_program_that_hangs_is_found_by_its_health_and_holds_up_nobody_else() {
    let health = "health = { interval = \"1s\", timeout = \"1s\", failures = 2 }";
    let daemon = Daemon::start(&format!(
        "{}{}",
        program("", &format!("{health}\n{QUICK}\nshutdown = \"200ms\"")),
        module("other", "")
    ));
    let first = pid(&daemon);
    let client = daemon.client();
    let hanging = std::thread::spawn(move || client.call("asker", "host/geo//hang", b"").outcome());
    while !hanging.is_finished() {
        assert_eq!(daemon.call("other", "echo", b"x").status, 200);
        pause_for(Duration::from_millis(5));
    }
    let (_, error) = hanging.join().unwrap();
    assert!(error.starts_with("unavailable: "), "{error}");
    eventually("it answers again", || ask(&daemon, "echo", "well") == (200, "well".to_owned()));
    assert_eq!(binding(&daemon, "geo").restarts_by_reason, BTreeMap::from([("unhealthy".to_owned(), 1)]));
    assert!(is_gone(first));
    daemon.stop();
}

#[test]
fn a_program_never_outlives_the_daemon_however_that_ends() {
    let daemon = Daemon::start(&program("stubborn", "shutdown = \"300ms\""));
    let first = pid(&daemon);
    let home = daemon.stop();
    assert!(is_gone(first), "it is there after a stop in order");
    let daemon = home.start();
    let second = pid(&daemon);
    daemon.kill();
    eventually("it ends with the daemon", || is_gone(second));
}

#[test]
fn a_reload_gives_it_other_settings() {
    let daemon = Daemon::start(&program("", QUICK));
    let first = pid(&daemon);
    daemon.home().configure(&program("few", QUICK));
    daemon.ctl(&["reload"]);
    eventually("the new program answers", || ask(&daemon, "surroundings", "").1.starts_with("no_such_operation: "));
    assert!(is_gone(first));
    assert_eq!(binding(&daemon, "geo").restarts, 0);
    daemon.stop();
}

#[test]
fn floods_of_its_output_and_errors_leave_the_daemon_alone() {
    let daemon = Daemon::start(&format!("{}{}", program("", QUICK), module("other", "")));
    assert_eq!(ask(&daemon, "chatter", "100000"), (200, String::new()));
    assert!(ask(&daemon, "flood", "").1.starts_with("unavailable: "));
    eventually("it answers again", || ask(&daemon, "echo", "well") == (200, "well".to_owned()));
    assert_eq!(daemon.call("other", "echo", b"x").status, 200);
    daemon.log_line(&["program floods, lines dropped"]);
    let lines = daemon.log().lines().filter(|line| line.contains("wapcd::process")).count();
    // A burst, and then by the second as long as it takes.
    assert!((1000..50_000).contains(&lines), "{lines} lines");
    daemon.stop();
}

#[test]
fn the_library_of_the_example_reads_what_it_writes() {
    let test = "from wapcd_binding import pack, unpack\n\
                for value in [None, True, False, 0, 127, 128, 2**64-1, -1, -33, -2**63, 1.5, '', 'x'*300, b'', b'\\0'*70000,\n\
                [1, 'a', [b'x']], {'a': {'b': [1]}, 'c': None}]: assert unpack(pack(value)) == value, value\n\
                assert unpack(b'\\x83\\xa1a\\x91\\xff\\xa1b\\xc4\\x01z\\xa1c\\xcd\\x01\\x00') == {'a': [-1], 'b': b'z', 'c': 256}\n";
    let mut python = Command::new("python3");
    let example: PathBuf = guest_file("examples/process");
    let output = python.args(["-B", "-c", test]).current_dir(example).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
