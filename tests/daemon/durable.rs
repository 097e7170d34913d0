//! The durable key-value binding: what was answered is there after any end of the process, and one daemon has the file.

use std::thread;

use wapcd::supervisor::status::{BindingStatus, ServiceState};

use crate::harness::{Daemon, Home, eventually, module};

const TOML: &str = "[bindings.cache]\ntype = \"keyvalue\"\npath = \"cache.redb\"\n";

fn toml() -> String {
    format!("{TOML}{}{}", module("menu", "links = [\"cache\", \"log\"]"), module("other", ""))
}

fn count(daemon: &Daemon) -> String {
    daemon.call("menu", "host/cache//increment", br#"{"key":"visits"}"#).text()
}

fn cache(daemon: &Daemon) -> BindingStatus {
    daemon.status().bindings.into_iter().find(|binding| binding.name == "cache").unwrap()
}

/// The guest is told `unavailable`, the status says why, and everything else runs.
fn assert_unavailable(daemon: &Daemon, cause: &[&str]) {
    let (status, text) = daemon.call("menu", "host/cache//get", br#"{"key":"visits"}"#).outcome();
    assert_eq!(status, 422);
    assert!(text.starts_with("unavailable: ") && text.contains("`cache`"), "{text}");
    let binding = cache(daemon);
    assert_eq!(binding.state, ServiceState::Failed);
    let error = binding.last_exit.unwrap().causes.join(": ");
    assert!(cause.iter().all(|cause| error.contains(cause)), "{error}");
    assert!(daemon.ctl(&["bindings"]).contains("failed"));
    assert_eq!(daemon.call("menu", "host/log//info", b"still here").status, 200);
    assert_eq!(daemon.call("other", "echo", b"fine").text(), "fine");
}

#[test]
fn what_was_answered_survives_sigterm_and_sigkill() {
    let mut home = Home::new(&toml());
    assert!(!home.path().join("state").exists(), "the state directory is made by the daemon");
    let mut expected = 0;
    for round in 0..6 {
        let daemon = home.start();
        for _ in 0..3 {
            expected += 1;
            assert_eq!(count(&daemon), format!(r#"{{"value":{expected}}}"#), "round {round}");
        }
        // Right after the answer: nothing was flushed by an orderly end.
        home = if round % 2 == 0 { daemon.kill() } else { daemon.stop() };
    }
    assert!(home.path().join("state/cache.redb").is_file());
}

#[test]
fn a_process_killed_while_many_write_has_kept_every_write_that_it_answered() {
    const WRITERS: u64 = 4;
    let mut home = Home::new(&toml());
    let mut at_least = 0;
    for round in 0..3 {
        let daemon = home.start();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let client = daemon.client();
                let write = move || {
                    let answer = client.try_call("menu", "host/cache//increment", br#"{"key":"visits"}"#);
                    answer.ok().filter(|answer| answer.status == 200)
                };
                thread::spawn(move || std::iter::from_fn(write).count() as u64)
            })
            .collect();
        eventually("writes are answered", || cache(&daemon).calls_ok > 40);
        home = daemon.kill();
        let answered: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        let daemon = home.start();
        let next: u64 = count(&daemon).trim_start_matches(r#"{"value":"#).trim_end_matches('}').parse().unwrap();
        // Each writer had at most one more, whose answer it did not get.
        let expected = at_least + answered..=at_least + answered + WRITERS;
        assert!(expected.contains(&(next - 1)), "round {round}: {next} is not in {expected:?}");
        at_least = next;
        home = daemon.stop();
    }
}

#[test]
fn a_daemon_after_a_killed_one_takes_over_its_socket() {
    let home = Daemon::start(&toml()).kill();
    assert!(home.path().join("run/wapcd.sock").exists());
    let daemon = home.start();
    assert_eq!(daemon.call("menu", "echo", b"back").text(), "back");
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused_and_the_first_goes_on() {
    let daemon = Daemon::start(&toml());
    let second = daemon.home().wapcd(&["run", "--config", "wapcd.toml"]);
    assert_eq!(second.status.code(), Some(1));
    let complaint = String::from_utf8(second.stderr).unwrap();
    assert!(complaint.contains("another wapcd") && complaint.contains(&daemon.pid().to_string()), "{complaint}");
    assert_eq!(count(&daemon), r#"{"value":1}"#);
}

#[test]
fn a_second_daemon_on_the_same_database_runs_without_it_and_says_so() {
    let first = Daemon::start(&toml());
    assert_eq!(count(&first), r#"{"value":1}"#);
    let second = Home::new("");
    let database = first.home().path().join("state/cache.redb");
    second.configure(&toml().replace("\"cache.redb\"", &format!("{database:?}")));
    let second = second.start();
    assert_unavailable(&second, &["cache.redb", "open"]);
    second.log_line(&["state changed", "cache", "\"to\":\"failed\""]);
    assert_eq!(count(&first), r#"{"value":2}"#);
}

#[test]
fn a_state_directory_that_cannot_be_made_fails_the_binding_and_nothing_else() {
    let home = Home::new(&toml());
    // Below a file there is no directory, not even for root.
    home.write("state", "a file");
    let daemon = home.start();
    assert_unavailable(&daemon, &["state"]);
}

#[test]
fn a_database_file_that_is_none_is_left_alone_and_named() {
    let home = Home::new(&toml());
    std::fs::create_dir(home.path().join("state")).unwrap();
    home.write("state/cache.redb", "precious text");
    let daemon = home.start();
    assert_unavailable(&daemon, &["cache.redb"]);
    let home = daemon.stop();
    assert_eq!(std::fs::read(home.path().join("state/cache.redb")).unwrap(), b"precious text");
}

#[test]
fn a_runtime_directory_that_cannot_be_made_stops_the_start_and_names_it() {
    let home = Home::new(&toml());
    home.write("run", "a file");
    let output = home.wapcd(&["run", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains(home.path().join("run").to_str().unwrap()), "{complaint}");
}
