//! Both commands beside a daemon: exit codes, payloads and what they print.

use wapcd::supervisor::status::{ModuleState, ModuleStatus};

use crate::harness::{Daemon, Home, command, eventually, guest_file, module};

fn wapcctl(arguments: &[&str]) -> std::process::Output {
    command(env!("CARGO_BIN_EXE_wapcctl")).args(arguments).stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn wapcctl_tells_by_its_exit_code_what_went_wrong() {
    let daemon = Daemon::start(&module("menu", ""));
    let code = |arguments: &[&str]| daemon.wapcctl(arguments).status.code();
    assert_eq!(code(&["call", "menu", "echo", "--payload", "x"]), Some(0));
    assert_eq!(code(&["call", "menu", "fail", "--payload", "x"]), Some(1));
    assert_eq!(code(&["call", "menu", "trap", "--payload", "x"]), Some(1));
    assert_eq!(code(&["call", "nobody", "echo", "--payload", "x"]), Some(1));
    assert_eq!(code(&["dance"]), Some(64));
    assert_eq!(code(&["call", "menu"]), Some(64));
    assert_eq!(wapcctl(&["--socket", "/nonexistent.sock", "status"]).status.code(), Some(69));
    let socket = daemon.socket.clone();
    daemon.stop();
    let gone = wapcctl(&["--socket", socket.to_str().unwrap(), "status"]);
    assert_eq!(gone.status.code(), Some(69));
    assert!(String::from_utf8(gone.stderr).unwrap().contains(socket.to_str().unwrap()));
}

#[test]
fn wapcctl_shows_a_trap_with_its_backtrace_and_the_state_of_everything() {
    let daemon = Daemon::start(&module("menu", ""));
    let trap = daemon.wapcctl(&["call", "menu", "trap", "--no-payload"]);
    assert!(trap.stdout.is_empty());
    let text = String::from_utf8(trap.stderr).unwrap();
    assert!(text.contains("the guest trapped") && text.contains("inner_trap"), "{text}");
    let is_replaced = |it: ModuleStatus| it.restarts == 1 && it.state == ModuleState::Running;
    eventually("it is replaced", || is_replaced(daemon.module("menu")));
    let page = daemon.ctl(&["module", "menu"]);
    assert!(page.contains("trapped") && page.contains("outer_trap") && page.contains("operation `trap`"), "{page}");
    let status: serde_json::Value = serde_json::from_str(&daemon.ctl(&["status", "--json"])).unwrap();
    assert_eq!((&status["pid"], &status["modules"][0]["restarts"]), (&daemon.pid().into(), &1.into()));
    assert!(daemon.ctl(&["modules"]).contains("running"));
    assert!(daemon.ctl(&["bindings"]).contains("log"));
}

#[test]
fn a_single_guest_of_every_toolchain_is_called_without_a_daemon() {
    let home = Home::new("");
    for language in ["rust", "assemblyscript", "c", "c-wasi", "zig"] {
        let guest = guest_file(&format!("tests/guests/{language}/guest.wasm"));
        let call = |operation: &str| home.wapcd(&["call", guest.to_str().unwrap(), operation, "--payload", "text"]);
        let echo = call("echo");
        assert_eq!((echo.status.code(), echo.stdout.as_slice()), (Some(0), b"text".as_slice()), "{language}");
        let fail = call("fail");
        assert_eq!((fail.status.code(), fail.stdout.len()), (Some(1), 0), "{language}");
        assert!(String::from_utf8(fail.stderr).unwrap().contains("text"), "{language}");
        assert_eq!(call("trap").status.code(), Some(1), "{language}");
    }
}
