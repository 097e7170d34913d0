//! Section 7: replacing a module between two calls.

use std::{fs, sync::Arc, time::Duration};

use wapcd::host::{HostOptions, Limits, LoadError, WapcHost, WapcHostAsync};

use crate::{
    alone::alone,
    guest::{ENGINE, MENU, assemble, guest, guest_with, menu, number},
    hosts::{Kind, Setup, both, runtime},
};

// protocol: replace.new-store
#[test]
fn a_replacement_runs_in_a_new_store() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        assert_eq!((host.count(), host.count()), (1, 2));
        host.replace(&assemble(&menu())).unwrap();
        assert_eq!(host.count(), 1);
        host.replace(&assemble(&guest(""))).unwrap();
        assert_eq!(host.call("count", "").unwrap(), "answer");
        // After a trap it is the new module that starts afresh.
        let trapping = guest("(if (local.get $len) (then (unreachable)))");
        host.replace(&assemble(&trapping)).unwrap();
        host.exit("any", "trap");
        assert_eq!(host.call("any", "").unwrap(), "answer");
    });
}

// protocol: replace.new-store
#[test]
fn a_replacement_takes_the_place_of_an_instance_that_ended() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        host.exit("trap", "");
        host.replace(&assemble(&guest(""))).unwrap();
        assert_eq!(host.call("any", "").unwrap(), "answer");
    });
}

// protocol: replace.limits
#[test]
fn a_replacement_is_under_the_instances_own_limits() {
    both(|kind| {
        let limits = Limits { memory: 9 * 65_536, deadline: Some(Duration::from_millis(100)), ..Limits::default() };
        let mut host = Setup::default().limits(limits).menu(kind);
        let large = guest("").replacen("\"memory\") 8", "\"memory\") 10", 1);
        let error = host.replace(&assemble(&large)).unwrap_err();
        assert!(matches!(error, LoadError::InitialSize { asked: 655_360, limit: 589_824, .. }), "{error:?}");
        let spinning = guest_with("", "(func (export \"_start\") (loop $on (br $on)))", "");
        let error = host.replace(&assemble(&spinning)).unwrap_err();
        assert!(wapcd::host::chain(&error).contains("deadline of 100 ms exceeded"), "{error:?}");
        host.replace(&assemble(&menu())).unwrap();
        assert!(host.call("grow", number(1)).is_ok() && host.call("grow", number(1)).is_err());
    });
}

// protocol: replace.keeps-old
// protocol: known.half-replaced
#[test]
fn a_replacement_that_fails_leaves_the_old_instance_untouched() {
    both(|kind| {
        let start = |body: &str| assemble(&guest_with("", &format!("(func (export \"wapc_init\") {body})"), ""));
        let truncated = {
            let whole = assemble(&menu());
            whole[..whole.len() - 9].to_vec()
        };
        let bad = [
            (b"garbage".to_vec(), "not a WebAssembly module"),
            (truncated, "truncated"),
            (assemble("(module)"), "export `memory` is missing"),
            (assemble(r#"(module (import "a" "b" (func)))"#), "unknown imports: a.b"),
            (start("(unreachable)"), "start function `wapc_init` failed: the guest trapped"),
            (start("(call $response (i32.const -1) (i32.const 9))"), "lie outside of the memory"),
        ];
        let mut host = Setup::default().menu(kind);
        for (nth, (bytes, expected)) in (1..).zip(bad) {
            assert_eq!(host.count(), nth);
            let text = wapcd::host::chain(&host.replace(&bytes).unwrap_err());
            assert!(text.contains(expected), "{text} does not say {expected}");
        }
        assert_eq!(host.call("name", "").unwrap(), "name");
    });
}

// protocol: replace.keeps-old
#[test]
fn a_plain_host_refuses_a_replacement_that_needs_an_asynchronous_one() {
    let import = r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#;
    let mut host = Setup::default().menu(Kind::Plain);
    let error = host.replace(&assemble(&guest_with(import, "", ""))).unwrap_err();
    assert!(matches!(error, LoadError::NeedsAsync(_)), "{error:?}");
    assert_eq!(host.count(), 1);
}

// protocol: replace.keeps-old
#[test]
fn a_replacement_whose_future_is_dropped_has_not_happened() {
    runtime().block_on(async {
        let engine = Box::new(MENU.provider(Default::default()));
        let mut host = WapcHostAsync::new(engine, None).await.unwrap();
        host.call("count", "").await.unwrap();
        let spinning = assemble(&guest_with("", "(func (export \"_start\") (loop $on (br $on)))", ""));
        assert!(tokio::time::timeout(Duration::from_millis(10), host.replace_module(&spinning)).await.is_err());
        assert!(host.is_alive());
        assert_eq!(&host.call("count", "").await.unwrap()[..], 2u32.to_le_bytes());
    });
}

// protocol: replace.between-calls
#[test]
fn the_id_and_the_callback_stay_when_the_module_goes() {
    both(|kind| {
        let mut host = Setup::answering(|id, _| Ok(id.to_string().into())).menu(kind);
        let id = host.id();
        assert_eq!(host.call("host", "").unwrap(), id.to_string());
        host.replace(&assemble(&menu())).unwrap();
        assert_eq!((host.id(), host.call("host", "").unwrap()), (id, id.to_string().into()));
    });
}

// protocol: replace.wasi-settings
#[test]
fn a_replacement_has_the_wasi_settings_of_the_first_module() {
    let import = r#"(import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))"#;
    let body = "(drop (call $sizes (i32.const 256) (i32.const 260)))
                (call $response (i32.const 256) (i32.const 4)) (return (i32.const 1))";
    let bytes = assemble(&guest_with(import, "", body));
    let mut setup = Setup::default();
    setup.wasi.argv = vec!["one".to_owned(), "two".to_owned()];
    let mut host = setup.start(&MENU, Kind::Async).unwrap();
    host.replace(&bytes).unwrap();
    assert_eq!(host.call("any", "").unwrap()[..], 2u32.to_le_bytes());
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Swaps until the process has made all its caches, then measures further swaps.
fn grown_by(swaps: usize, mut replace: impl FnMut(&[u8])) -> u64 {
    let guests = [assemble(&guest("")), assemble(&guest("(drop (memory.grow (i32.const 1)))"))];
    let mut swap = |count| (0..count).for_each(|nth| replace(&guests[nth % 2]));
    swap(500);
    let before = resident();
    swap(swaps);
    resident().saturating_sub(before)
}

/// Ten thousand; a tenth of it where nothing is optimised.
const SWAPS: usize = if cfg!(debug_assertions) { 1_000 } else { 10_000 };

/// What 10,000 leaks of one small instance would pass by far: 1,000 are already some 8 MiB.
const FLAT: u64 = 2 << 20;

// protocol: replace.flat
// protocol: known.replace-leak
#[test]
fn ten_thousand_replacements_leave_memory_flat() {
    alone("replace::ten_thousand_replacements_leave_memory_flat", || {
        let engine = || Box::new(MENU.provider(Default::default()));
        let mut plain = WapcHost::new(engine(), None).unwrap();
        let grown = grown_by(SWAPS, |bytes| plain.replace_module(bytes).unwrap());
        assert!(grown < FLAT, "{grown} bytes more after {SWAPS} swaps");
        runtime().block_on(async {
            let mut host = WapcHostAsync::new(engine(), None).await.unwrap();
            let handle = tokio::runtime::Handle::current();
            assert!(handle.metrics().num_workers() == 1);
            let guests = [assemble(&guest("")), assemble(&menu())];
            for _ in 0..100 {
                host.replace_module(&guests[0]).await.unwrap();
            }
            let before = resident();
            for nth in 0..SWAPS / 4 {
                host.replace_module(&guests[nth % 2]).await.unwrap();
            }
            let grown = resident().saturating_sub(before);
            assert!(grown < FLAT, "{grown} bytes more after {} swaps", SWAPS / 4);
        });
        assert_eq!(plain.call("any", "").unwrap(), "answer");
    });
}

// protocol: replace.flat
#[test]
fn nothing_of_the_old_instance_stays() {
    both(|kind| {
        let marked: Arc<()> = Arc::default();
        let held = Arc::clone(&marked);
        let mut host = Setup::answering(move |_, _| {
            let _held = &held;
            Ok("x".into())
        })
        .menu(kind);
        assert_eq!(Arc::strong_count(&marked), 2);
        for _ in 0..5 {
            host.replace(&assemble(&menu())).unwrap();
        }
        drop(host);
        assert_eq!(Arc::strong_count(&marked), 1);
    });
    // The engine goes on without them.
    let options = HostOptions::default();
    drop(WapcHost::with_options(Box::new(MENU.provider(Default::default())), None, options).unwrap());
    assert!(ENGINE.compile(&assemble(&menu())).is_ok());
}
