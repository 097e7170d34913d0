//! wapcctl as a real process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use wapcd::supervisor::{
    events::{Subject, What},
    status::{BackendStatus, GroupState, ModuleState, ServiceState, WorkerState},
};

use crate::{children, fake::Running};

pub(crate) fn wapcctl(socket: &Path, arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(socket).args(arguments).env_remove("WAPCD_SOCKET");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = children::spawn(&mut command).unwrap();
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A command that does not read its input closes it; that is its right.
    let writer = std::thread::spawn(move || input.write_all(&stdin).unwrap_or_default());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn tables_are_aligned_and_free_of_escape_sequences() {
    let running = Running::start();
    let modules = wapcctl(&running.socket(), &["modules"], b"");
    assert_eq!(code(&modules), 0, "{}", err(&modules));
    assert_eq!(
        out(&modules),
        "MODULE  STATE    GEN  CODE  INST  QUEUED  RUNNING   OK  FAILED  REFUSED  RESTARTS     UP  GROUP  LAST EXIT\n\
         echo    running    3  -        1       2        1  100       4        3         6  1m 1s  -\n\
         failed  failed     3  -        1       2        1  100       4        3         6  1m 1s  pets   trapped, 3h 0m ago\n"
    );
    let status = out(&wapcctl(&running.socket(), &["status"], b""));
    assert!(status.starts_with(
        "wapcd 1.2.3 (process 7), up 1h 1m, 2 workers, engine pulley, 1.5 KiB waiting in queues\nconfiguration "
    ));
    assert!(status.contains("\ncache    keyvalue  running  12       0         0   -  -\n"), "{status}");
    let group = "\npets   running  rest_for_one         9        2  yes       -       bindings.cache, modules.failed\n";
    assert!(status.contains(group), "{status}");
    assert!(status.ends_with(
        "\nWORKER  STATE    INST  REPLACED\n     0  running     1         0\n     1  running     1         0\n"
    ));
    assert!(out(&wapcctl(&running.socket(), &["bindings"], b"")).starts_with("BINDING"));
}

#[test]
fn what_is_wrong_and_what_comes_next_is_plain() {
    let running = Running::start();
    let mut status = running.fake.status.lock();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    status.workers[1].state = WorkerState::Stalled;
    status.workers[1].stalled_s = Some(12.0);
    status.modules[0].state = ModuleState::Starting;
    status.modules[0].waiting_for = vec!["bindings.cache".into(), "modules.\u{1b}[2J".into()];
    status.modules[1].state = ModuleState::Backoff;
    status.modules[1].next_try = Some(now + 3_650.0);
    status.groups[0].state = GroupState::Failed;
    status.groups[0].next_try = Some(now - 1.0);
    status.bindings[0].state = ServiceState::Backoff;
    status.bindings[0].last_exit = status.modules[1].last_exit.clone();
    status.bindings[0].next_try = Some(now + 7_250.0);
    drop(status);
    let status = out(&wapcctl(&running.socket(), &["status"], b""));
    for text in [
        "\n!! WORKER 1 IS STALLED FOR 12s: something blocks its thread, and its 1 instances answer no call\n",
        "  starting, waits for bindings.cache, modules.\\u{1b}[2J  ",
        "  backoff, next try in 1h 0m  ",
        "  backoff, next try in 2h 0m  ",
        "  failed, next try now  ",
    ] {
        assert!(status.contains(text), "no {text:?} in {status}");
    }
    let bindings = out(&wapcctl(&running.socket(), &["bindings"], b""));
    assert!(
        bindings.contains("\n\ncache:\n  last exit   trapped, ") && bindings.contains("because: a \\u{1b}[2J"),
        "{bindings}"
    );
}

#[test]
fn a_binding_whose_server_is_down_says_so_and_why() {
    let running = Running::start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    running.fake.status.lock().bindings[0].backend = Some(BackendStatus {
        state: "disconnected".into(),
        since: now - 7_205.0,
        why: Some("connection refused\n\u{1b}[2J".into()),
        next_try: Some(now + 3_650.0),
        tries: 17,
    });
    let bindings = out(&wapcctl(&running.socket(), &["bindings"], b""));
    assert!(bindings.contains("  running, disconnected, next try in 1h 0m  "), "{bindings}");
    let why = "\ncache:\n  disconnected 2h 0m ago, 17 tries failed since:\n    connection refused";
    assert!(bindings.contains(why) && !bindings.contains('\u{1b}'), "{bindings}");
}

#[test]
fn a_modules_page_shows_causes_and_backtrace() {
    let running = Running::start();
    let page = out(&wapcctl(&running.socket(), &["module", "failed"], b""));
    let start = "failed: failed\n  file        /srv/failed.wasm\n  declared    configured\n";
    let middle = "  group       pets\n  generation  3\n  swaps       file 1 (3 failed), operator 2\n  up          1m 1s\n  \
                  instance    0: id 5, generation 3, on worker 1, up 1m 0s, memory 64.0 KiB\n  \
                  calls       100 ok, 4 failed, 3 refused, 1 running\n  \
                  outcomes    ok 100, trapped 4, busy 3\n  \
                  latency     p50 up to 10ms, p99 up to 100ms, mean 10ms of 104 calls\n  \
                  queue       2 calls, 10 B\n  \
                  restarts    6 (trapped 4, deadline_exceeded 2), 2 count towards group pets's intensity now\n  \
                  to revive   wapcctl start failed\n";
    let exit = "\n  last exit   trapped, 3h 0m ago (";
    let end = "Z), operation `feed`, call 41, from control\n    \
               the guest trapped: unreachable was executed\n    because: a \\u{1b}[2J cause\n      \
               at pets::feed @ 0x1f\n";
    assert!(page.starts_with(start) && page.contains(middle) && page.contains(exit), "{page}");
    assert!(page.ends_with(end), "{page}");
}

/// Starts to follow the events; what is printed comes as a stream.
fn follow(running: &Running, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(running.socket()).args(["events", "--follow"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = children::spawn(&mut command).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

fn next(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

#[test]
fn events_are_lines_for_people_or_documents() {
    let running = Running::start();
    let events = running.fake.events.clone();
    assert_eq!(out(&wapcctl(&running.socket(), &["events"], b"")), "");
    events.record(Subject::Module("echo".into()), What::Asked { action: "st\u{1b}[31mop".into() });
    events.record(Subject::Module("failed".into()), What::Asked { action: "start".into() });
    events.record(Subject::Worker(1), What::WorkerReplaced { replaced: 2 });
    let all = out(&wapcctl(&running.socket(), &["events"], b""));
    assert!(all.contains("Z  module echo  an operator asked for: st\\u{1b}[31mop\n"), "{all}");
    assert!(all.ends_with("Z  worker 1  its thread ended and was replaced, 2 times by now\n"), "{all}");
    let after = out(&wapcctl(&running.socket(), &["events", "--after", "2", "--json"], b""));
    let document: Value = serde_json::from_str(&after).unwrap();
    assert_eq!((&document["seq"], &document["subject"]["worker"]), (&3.into(), &1.into()));
    let unknown = wapcctl(&running.socket(), &["events", "--after", "9"], b"");
    assert_eq!(code(&unknown), 1);
    assert!(err(&unknown).contains("`after` cannot be `9`"), "{}", err(&unknown));
    assert_eq!(code(&wapcctl(Path::new("/nonexistent/wapcd.sock"), &["events", "-f"], b"")), 69);
}

#[test]
fn events_of_one_part_are_shown_alone_and_none_of_what_does_not_exist() {
    let running = Running::start();
    let asked = || What::Asked { action: "start".into() };
    let (pets, cache) = (Subject::Group("pets".into()), Subject::Binding("cache".into()));
    for subject in [Subject::Module("failed".into()), cache, pets, Subject::Worker(1), Subject::Module("echo".into())] {
        running.fake.events.record(subject, asked());
    }
    for (option, name) in [("module", "failed"), ("binding", "cache"), ("group", "pets"), ("worker", "1")] {
        let wapcctl = |name| wapcctl(&running.socket(), &["events", &format!("--{option}"), name], b"");
        let shown = out(&wapcctl(name));
        assert!(shown.contains(&format!("Z  {option} {name}  ")) && shown.lines().count() == 1, "{shown}");
        let refused = wapcctl("7");
        assert_eq!((code(&refused), out(&refused).as_str()), (1, ""), "{option}");
        assert!(err(&refused).contains(option) && err(&refused).contains('7'), "{}", err(&refused));
    }
    let followed = wapcctl(&running.socket(), &["events", "--follow", "--module", "none", "--json"], b"");
    assert_eq!(code(&followed), 1);
    assert!(err(&followed).contains("urn:wapcd:error:no-such-module"), "{}", err(&followed));
    assert_eq!(code(&wapcctl(&running.socket(), &["events", "--module", "echo", "--group", "pets"], b"")), 64);
}

#[test]
fn events_are_followed_until_the_daemon_stops() {
    let running = Running::start();
    let events = running.fake.events.clone();
    events.record(Subject::Daemon, What::DaemonStarted { version: "1.2.3".into() });
    let (child, mut lines) = follow(&running, &["--module", "echo"]);
    let (json_child, mut json) = follow(&running, &["--json"]);
    assert!(next(&mut json).contains("daemon_started"));
    events.record(Subject::Module("other".into()), What::Asked { action: "stop".into() });
    events.record(Subject::Module("echo".into()), What::Asked { action: "start".into() });
    assert!(next(&mut lines).ends_with("Z  module echo  an operator asked for: start\n"));
    assert_eq!(serde_json::from_str::<Value>(&next(&mut json)).unwrap()["subject"]["module"], "other");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(running.handle.stop(Duration::from_secs(10)));
    for child in [child, json_child] {
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), err(&output).as_str()), (0, "wapcctl: the daemon has stopped\n"));
    }
}

#[test]
fn following_ends_well_on_an_interrupt_and_quietly_when_nobody_reads() {
    let running = Running::start();
    let record = || running.fake.events.record(Subject::Daemon, What::DaemonStarted { version: "1".into() });
    record();
    let (child, mut lines) = follow(&running, &[]);
    assert!(!next(&mut lines).is_empty());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));

    let (child, mut lines) = follow(&running, &[]);
    assert!(!next(&mut lines).is_empty());
    drop(lines);
    record();
    let output = child.wait_with_output().unwrap();
    assert_eq!(err(&output), "");
}

#[test]
fn json_is_the_daemons_own() {
    let running = Running::start();
    for (arguments, pointer, value) in [
        (&["status", "--json"][..], "/version", "1.2.3"),
        (&["--json", "modules"][..], "/0/name", "echo"),
        (&["module", "failed", "--json"][..], "/state", "failed"),
        (&["bindings", "--json"][..], "/0/type", "keyvalue"),
        (&["stop", "echo", "--json"][..], "/state", "stopped"),
    ] {
        let output = wapcctl(&running.socket(), arguments, b"");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document.pointer(pointer).unwrap(), value, "{arguments:?}");
        assert_eq!(code(&output), 0);
    }
}

#[test]
fn a_call_passes_bytes_through_untouched() {
    let running = Running::start();
    let payload: Vec<u8> = (0..=255).cycle().take(500_000).collect();
    let output = wapcctl(&running.socket(), &["call", "echo", "x"], &payload);
    assert!(output.stdout == payload && output.stderr.is_empty() && code(&output) == 0, "{}", err(&output));
    assert_eq!(out(&wapcctl(&running.socket(), &["call", "echo", "x", "--payload", "hello"], b"not this")), "hello");
    assert_eq!(out(&wapcctl(&running.socket(), &["call", "echo", "x", "--no-payload"], b"not this")), "");
    assert_eq!(out(&wapcctl(&running.socket(), &["call", "echo", "x", "--json"], b"raw")), "raw");
}

#[test]
fn a_call_names_any_operation() {
    let running = Running::start();
    let long = "ä/".repeat(12_000);
    for operation in ["", "a/b?c#d%e f\n→", "..", &"x".repeat(65_536), &long] {
        let output = wapcctl(&running.socket(), &["call", "operation", operation, "--payload", ""], b"");
        assert_eq!(code(&output), 0, "{}", err(&output));
        assert!(out(&output) == operation);
    }
    let output = wapcctl(&running.socket(), &["call", "operation", &"ä".repeat(30_000), "--payload", ""], b"");
    assert_eq!(code(&output), 1);
    assert!(err(&output).starts_with("wapcctl: the operation is too long: it has 180000 bytes"), "{}", err(&output));
}

#[test]
fn errors_go_to_standard_error_with_code_1() {
    let running = Running::start();
    let guest = wapcctl(&running.socket(), &["call", "guest-error", "x", "--payload", ""], b"");
    assert_eq!((code(&guest), out(&guest).as_str()), (1, ""));
    assert_eq!(err(&guest), "wapcctl: no such pet: \\u{1b}[31mäö\n");
    let trapped = wapcctl(&running.socket(), &["call", "trapped", "x", "--payload", ""], b"");
    assert_eq!(
        err(&trapped),
        "wapcctl: the guest trapped: unreachable was executed\n    at pets::feed @ 0x1f\n    at function 9\n"
    );
    let json = wapcctl(&running.socket(), &["call", "trapped", "x", "--payload", "", "--json"], b"");
    let problem: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((code(&json), &problem["type"]), (1, &Value::from("urn:wapcd:error:trapped")));
    let missing = wapcctl(&running.socket(), &["module", "no/body"], b"");
    assert_eq!((code(&missing), err(&missing).as_str()), (1, "wapcctl: no module `no/body`\n"));
}

#[test]
fn a_start_that_ends_in_a_failed_module_is_a_failure() {
    let running = Running::start();
    let started = wapcctl(&running.socket(), &["start", "echo"], b"");
    assert_eq!((code(&started), out(&started).as_str()), (0, "echo: running, generation 3\n"));
    let failed = wapcctl(&running.socket(), &["restart", "failed"], b"");
    assert_eq!(code(&failed), 1);
    assert!(out(&failed).contains("the guest trapped"), "{}", out(&failed));
    assert_eq!(code(&wapcctl(&running.socket(), &["stop", "failed"], b"")), 0);
}

#[test]
fn a_payload_over_the_limit_is_told_and_not_a_broken_connection() {
    let running = Running::start();
    for size in [(1 << 20) + 1, 40 << 20] {
        let output = wapcctl(&running.socket(), &["call", "echo", "x"], &vec![0; size]);
        assert_eq!(code(&output), 1, "{}", err(&output));
        assert!(err(&output).contains("the request's body is over 1048576 bytes"), "{}", err(&output));
    }
}

#[test]
fn a_daemon_that_is_not_there_is_code_69_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("nobody.sock");
    let output = wapcctl(&socket, &["status"], b"");
    assert_eq!(code(&output), 69);
    let message = format!("wapcctl: cannot reach wapcd on {}: No such file", socket.display());
    assert!(err(&output).starts_with(&message), "{}", err(&output));
    let json = wapcctl(&socket, &["status", "--json"], b"");
    let problem: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((code(&json), &problem["type"]), (69, &Value::from("urn:wapcd:error:unreachable")));
}

#[test]
fn an_empty_variable_counts_as_unset_and_all_sockets_that_were_tried_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("status").env("WAPCD_SOCKET", "").env("XDG_RUNTIME_DIR", dir.path());
    let output = children::output(&mut command);
    // A daemon of the system may run where this test does.
    if !Path::new("/run/wapcd/wapcd.sock").exists() {
        let own = dir.path().join("wapcd/wapcd.sock");
        assert_eq!(code(&output), 69);
        for path in [own.to_str().unwrap(), "/run/wapcd/wapcd.sock"] {
            assert!(err(&output).contains(path), "{}", err(&output));
        }
    }
}

#[test]
fn a_daemon_that_never_answers_is_code_69_after_the_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("deaf.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let output = wapcctl(&socket, &["status", "--timeout", "1"], b"");
    assert_eq!(code(&output), 69);
    assert!(err(&output).contains("did not answer within 1 s"), "{}", err(&output));
}

#[test]
fn a_stranger_on_the_socket_is_code_69() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("stranger.sock");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno").unwrap();
        }
    });
    let output = wapcctl(&socket, &["status"], b"");
    assert_eq!(code(&output), 69);
    assert!(err(&output).contains("is not one of wapcd"), "{}", err(&output));
}

#[test]
fn wrong_usage_is_code_64_and_help_is_not_wrong() {
    let nowhere = Path::new("/nonexistent/wapcd.sock");
    for arguments in [&[][..], &["dance"], &["module"], &["call", "a"], &["status", "--timeout", "0"]] {
        assert_eq!(code(&wapcctl(nowhere, arguments, b"")), 64, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["call", "--help"]] {
        assert_eq!(code(&wapcctl(nowhere, arguments, b"")), 0, "{arguments:?}");
    }
}

#[test]
fn a_reader_that_had_enough_is_no_panic() {
    let running = Running::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(running.socket()).args(["call", "echo", "x"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = children::spawn(&mut command).unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(&vec![b'x'; 500_000]).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), err(&output).as_str()), (1, ""));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("--socket").arg(running.socket()).arg("status").stdout(full).stderr(Stdio::piped());
    let output = children::spawn(&mut command).unwrap().wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(err(&output).contains("cannot write to standard output"), "{}", err(&output));
}

#[test]
fn the_socket_comes_from_the_environment_or_the_runtime_directory() {
    let running = Running::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    let output = children::output(command.arg("bindings").env("WAPCD_SOCKET", running.socket()));
    assert_eq!(code(&output), 0, "{}", err(&output));
    std::fs::create_dir(running.dir.path().join("wapcd")).unwrap();
    std::os::unix::fs::symlink(running.socket(), running.dir.path().join("wapcd/wapcd.sock")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcctl"));
    command.arg("bindings").env_remove("WAPCD_SOCKET").env("XDG_RUNTIME_DIR", running.dir.path());
    let output = children::output(&mut command);
    assert_eq!(code(&output), 0, "{}", err(&output));
}
