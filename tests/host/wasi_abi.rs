//! Section 3: both names of WASI preview 1 work, each with its own ABI. They differ in how a file's facts lie in memory
//! and in what numbers mean the start, the current place and the end of a file.

use std::fs;

use crate::{
    guest::{compile, guest_with},
    hosts::{Kind, Setup},
};

/// How one namespace differs from the other.
struct Abi {
    namespace: &'static str,
    from_start: u32,
    from_here: u32,
    from_end: u32,
    /// Where the size lies in a file's facts.
    size_at: u32,
}

const ABIS: [Abi; 2] = [
    Abi { namespace: "wasi_snapshot_preview1", from_start: 0, from_here: 1, from_end: 2, size_at: 32 },
    Abi { namespace: "wasi_unstable", from_here: 0, from_end: 1, from_start: 2, size_at: 24 },
];

/// Opens `digits` in the first directory, seeks three times, reads the two bytes there, and answers with them, the
/// three places and the size.
fn reader(abi: &Abi) -> String {
    let Abi { namespace, from_start, from_here, from_end, size_at } = abi;
    let imports = format!(
        r#"(import "{namespace}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
           (import "{namespace}" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
           (import "{namespace}" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
           (import "{namespace}" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))"#
    );
    let more = r#"(data (i32.const 300) "digits") (global $fd (mut i32) (i32.const 0))
                  (func $ok (param i32) (if (local.get 0) (then (unreachable))))"#;
    let seek = |by: i64, from: &u32, to: u32| {
        format!("(call $ok (call $seek (global.get $fd) (i64.const {by}) (i32.const {from}) (i32.const {to})))")
    };
    let body = format!(
        "(call $ok (call $open (i32.const 3) (i32.const 0) (i32.const 300) (i32.const 6) (i32.const 0)
           (i64.const 0x200026) (i64.const 0) (i32.const 0) (i32.const 320)))
         (global.set $fd (i32.load (i32.const 320)))
         {} {} {}
         (i32.store (i32.const 340) (i32.const 400)) (i32.store (i32.const 344) (i32.const 2))
         (call $ok (call $read (global.get $fd) (i32.const 340) (i32.const 1) (i32.const 348)))
         (call $ok (call $stat (global.get $fd) (i32.const 512)))
         (i64.store (i32.const 432) (i64.load (i32.const {})))
         (call $response (i32.const 400) (i32.const 40)) (return (i32.const 1))",
        seek(-3, from_end, 408),
        seek(2, from_start, 416),
        seek(3, from_here, 424),
        512 + size_at
    );
    guest_with(&imports, more, &body)
}

// protocol: wasi.both-names
#[test]
fn both_names_of_wasi_work_each_with_its_own_abi() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("digits"), "0123456789").unwrap();
    for abi in &ABIS {
        let mut setup = Setup::default();
        setup.wasi.map_dirs = vec![("/".to_owned(), dir.path().display().to_string())];
        let mut host = setup.start(&compile(&reader(abi)), Kind::Async).unwrap();
        let answer = host.call("any", "").unwrap();
        assert_eq!(&answer[..2], b"56", "{}", abi.namespace);
        let numbers: Vec<_> =
            answer[8..].chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().unwrap())).collect();
        assert_eq!(numbers, [7, 2, 5, 10], "{}", abi.namespace);
    }
}

// protocol: wasi.both-names
#[test]
fn one_guest_may_import_both_names() {
    let imports = r#"(import "wasi_unstable" "sched_yield" (func $old (result i32)))
                     (import "wasi_snapshot_preview1" "sched_yield" (func $new (result i32)))"#;
    let body = "(if (i32.or (call $old) (call $new)) (then (unreachable)))";
    let mut host = Setup::default().start(&compile(&guest_with(imports, "", body)), Kind::Async).unwrap();
    assert_eq!(host.call("any", "").unwrap(), "answer");
}
