//! Section 3: what WASI gives a guest, and where its output goes.

use std::{sync::Arc, time::Duration};

use wapcd::host::{LoadError, MAX_LINE, Stream, WasiParams};

use crate::{
    guest::{compile, guest_with},
    hosts::{Host, Kind, Setup},
    lines::Lines,
};

const NAMESPACES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// A guest that writes its payload to the file that the operation's first letter numbers, and then does `then`.
fn writer(namespace: &str, then: &str) -> wapcd::host::CompiledModule {
    let import = format!(r#"(import "{namespace}" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#);
    let body = format!(
        "(local.set $at (i32.const 131072))
         (loop $on (if (local.get $len) (then
           (i32.store (i32.const 256) (local.get $at)) (i32.store (i32.const 260) (local.get $len))
           (local.set $errno (call $write (i32.sub (i32.load8_u (i32.const 4096)) (i32.const 48)) (i32.const 256)
             (i32.const 1) (i32.const 264)))
           (if (local.get $errno) (then (unreachable)))
           (local.set $at (i32.add (local.get $at) (i32.load (i32.const 264))))
           (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 264))))
           (br $on))))
         {then}"
    );
    compile(&guest_with(&import, "", &body))
}

fn writing(namespace: &str, then: &str) -> (Host, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::default().deadline(Duration::from_millis(100));
    setup.options.console = lines.clone();
    (setup.start(&writer(namespace, then), Kind::Async).unwrap(), lines)
}

// protocol: wasi.lines
// protocol: import.wasi-names
#[test]
fn what_a_guest_writes_goes_to_the_log_line_by_line() {
    for namespace in NAMESPACES {
        let (mut host, lines) = writing(namespace, "");
        host.call("1", "one\r\ntwo\n\nfour\n").unwrap();
        let stdout = |text: &str| (Stream::Stdout, text.to_owned());
        assert_eq!(lines.take(), [stdout("one"), stdout("two"), stdout(""), stdout("four")]);
        host.call("2", "an error\n").unwrap();
        assert_eq!(lines.take(), [(Stream::Stderr, "an error".to_owned())]);
    }
}

// protocol: wasi.unfinished-line
#[test]
fn output_without_a_newline_is_flushed_at_the_end_of_the_call() {
    let (mut host, lines) = writing(NAMESPACES[0], "");
    host.call("1", "first\nsecond").unwrap();
    assert_eq!(lines.texts(), ["first", "second"]);
    host.call("1", "third").unwrap();
    assert_eq!(lines.texts(), ["third"]);
}

// protocol: wasi.unfinished-line
#[test]
fn output_without_a_newline_is_flushed_also_where_the_call_fails() {
    for then in ["(unreachable)", "(loop $on (br $on))", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"] {
        let (mut host, lines) = writing(NAMESPACES[0], then);
        host.exit("1", "last words");
        assert_eq!(lines.texts(), ["last words"], "{then}");
    }
}

// protocol: wasi.unfinished-line
#[test]
fn output_before_a_wait_that_reaches_the_deadline_is_flushed() {
    let import = r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
    let body = "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 6))
                (drop (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 264)))
                (i32.store (i32.const 1040) (i32.const 1)) (i64.store (i32.const 1048) (i64.const 60000000000))
                (drop (call $poll (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 3072)))";
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::default().deadline(Duration::from_millis(100));
    setup.options.console = lines.clone();
    let mut host = setup.clone().start(&compile(&guest_with(import, "", body)), Kind::Async).unwrap();
    host.exit("any", "");
    assert_eq!(lines.texts(), ["answer"]);
    // The same in a start section, whose output nobody else would flush.
    let more = format!("(func $init {body}) (start $init)");
    setup.start(&compile(&guest_with(import, &more, "")), Kind::Async).unwrap_err();
    assert_eq!(lines.texts(), ["answer"]);
}

// protocol: wasi.unfinished-line
#[test]
fn a_line_without_end_is_cut_at_64_kib() {
    let (mut host, lines) = writing(NAMESPACES[0], "");
    for payload in ["a".repeat(MAX_LINE + 9), format!("{}\nnext", "b".repeat(2 * MAX_LINE))] {
        host.call("1", payload).unwrap();
    }
    let texts = lines.texts();
    let lengths: Vec<_> = texts.iter().map(String::len).collect();
    assert_eq!(lengths, [MAX_LINE, MAX_LINE, 4], "{lengths:?}");
}

/// Calls the WASI functions that tell what a guest has: sizes of arguments and environment, the first directory, input.
fn tell(namespace: &str, setup: Setup) -> Vec<u32> {
    let import = format!(
        r#"(import "{namespace}" "args_sizes_get" (func $args (param i32 i32) (result i32)))
           (import "{namespace}" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
           (import "{namespace}" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
           (import "{namespace}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))"#
    );
    let body = "(drop (call $args (i32.const 256) (i32.const 260)))
                (drop (call $environ (i32.const 264) (i32.const 268)))
                (i32.store (i32.const 272) (call $prestat (i32.const 3) (i32.const 512)))
                (i32.store (i32.const 600) (i32.const 1024)) (i32.store (i32.const 604) (i32.const 100))
                (drop (call $read (i32.const 0) (i32.const 600) (i32.const 1) (i32.const 276)))
                (call $response (i32.const 256) (i32.const 24)) (return (i32.const 1))";
    let mut host = setup.start(&compile(&guest_with(&import, "", body)), Kind::Async).unwrap();
    let told = host.call("any", "").unwrap();
    told.chunks_exact(4).map(|number| u32::from_le_bytes(number.try_into().unwrap())).collect()
}

/// WASI's `badf`: there is no such file.
const BAD_FILE: u32 = 8;

// protocol: wasi.nothing-granted
#[test]
fn by_default_there_are_no_arguments_no_environment_no_files_and_no_input() {
    for namespace in NAMESPACES {
        assert_eq!(tell(namespace, Setup::default()), [0, 0, 0, 0, BAD_FILE, 0]);
    }
}

// protocol: wasi.granted
#[test]
fn a_guest_sees_what_it_is_granted() {
    let dir = tempfile::tempdir().unwrap();
    for namespace in NAMESPACES {
        let wasi = WasiParams::new(
            vec!["guest".to_owned(), "-v".to_owned()],
            vec![("/data".to_owned(), dir.path().display().to_string())],
            vec![("A".to_owned(), "bc".to_owned())],
            vec![],
        );
        let setup = Setup { wasi, ..Setup::default() };
        assert_eq!(tell(namespace, setup), [2, 9, 1, 5, 0, 0]);
    }
}

// protocol: wasi.granted
#[test]
fn a_directory_that_cannot_be_granted_is_a_load_error_that_names_it() {
    let mut setup = Setup::default();
    setup.wasi.preopened_dirs = vec!["/does/not/exist".to_owned()];
    let error = setup.start(&writer(NAMESPACES[0], ""), Kind::Async).unwrap_err();
    assert!(matches!(&error, LoadError::Wasi { .. }), "{error:?}");
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
}

// protocol: wasi.async-path
#[test]
fn a_guest_with_wasi_needs_the_asynchronous_host() {
    for namespace in NAMESPACES {
        let module = writer(namespace, "");
        assert!(module.imports_wasi());
        let error = Setup::default().start(&module, Kind::Plain).unwrap_err();
        assert!(matches!(error, LoadError::NeedsAsync(_)), "{error:?}");
        Setup::default().start(&module, Kind::Async).unwrap();
    }
}
