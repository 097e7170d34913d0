//! wapcd as a real process, where it needs no configuration: one call to one guest, and wrong usage.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::children;

fn wapcd(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wapcd"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = children::spawn(command.env_remove("WAPCD_LOG")).unwrap();
    // A command that fails first does not read its input.
    child.stdin.take().unwrap().write_all(stdin).unwrap_or_default();
    child.wait_with_output().unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A guest with a menu, as a file.
fn guest(dir: &TempDir) -> PathBuf {
    let path = dir.path().join("menu.wasm");
    std::fs::write(&path, wat::parse_str(include_str!("menu.wat")).unwrap()).unwrap();
    path
}

#[test]
fn one_guest_is_called_without_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let guest = guest(&dir);
    let guest = guest.to_str().unwrap();
    let echo = wapcd(&["call", guest, "echo"], b"\0raw\xff");
    assert_eq!((echo.stdout.as_slice(), echo.status.code()), (b"\0raw\xff".as_slice(), Some(0)), "{}", err(&echo));
    let text = wapcd(&["call", guest, "echo", "--payload", "text"], b"");
    assert_eq!(text.stdout, b"text");
}

#[test]
fn a_guests_lines_go_to_standard_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = wapcd(&["call", guest(&dir).to_str().unwrap(), "log", "--payload", "a line"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("a line") && output.stdout.is_empty(), "{}", err(&output));
}

#[test]
fn host_calls_of_a_single_guest_find_no_binding() {
    let dir = tempfile::tempdir().unwrap();
    let output = wapcd(&["call", guest(&dir).to_str().unwrap(), "host", "--payload", ""], b"");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
    assert!(err(&output).starts_with("wapcd: no_such_binding: "), "{}", err(&output));
}

#[test]
fn a_single_guest_that_spins_or_traps_is_told_with_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let guest = guest(&dir);
    let guest = guest.to_str().unwrap();
    let spin = wapcd(&["call", guest, "spin", "--timeout", "1"], b"");
    assert_eq!(spin.status.code(), Some(1));
    assert!(err(&spin).starts_with("wapcd: deadline of 1000 ms exceeded after "), "{}", err(&spin));
    let trap = wapcd(&["call", guest, "trap"], b"");
    assert_eq!(trap.status.code(), Some(1));
    assert!(err(&trap).starts_with("wapcd: the guest trapped: ") && err(&trap).contains("\n  at "), "{}", err(&trap));
}

#[test]
fn a_file_that_is_no_guest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.wasm");
    std::fs::write(&text, "hello").unwrap();
    for (path, what) in [
        (text.to_str().unwrap(), "not a WebAssembly module"),
        ("/nonexistent.wasm", "No such file"),
        // A file without an end.
        ("/dev/zero", "/dev/zero"),
    ] {
        let output = wapcd(&["call", path, "x"], b"");
        assert_eq!(output.status.code(), Some(1));
        assert!(err(&output).starts_with("wapcd: ") && err(&output).contains(path), "{}", err(&output));
        assert!(err(&output).contains(what), "{}", err(&output));
    }
}

#[test]
fn wrong_usage_is_code_64_and_a_missing_configuration_is_code_78() {
    assert_eq!(wapcd(&[], b"").status.code(), Some(64));
    assert_eq!(wapcd(&["dance"], b"").status.code(), Some(64));
    assert_eq!(wapcd(&["--version"], b"").status.code(), Some(0));
    for command in ["run", "check"] {
        let output = wapcd(&[command, "--config", "/nonexistent/wapcd.toml"], b"");
        assert_eq!(output.status.code(), Some(78));
        assert!(err(&output).contains("/nonexistent/wapcd.toml"), "{}", err(&output));
    }
}
