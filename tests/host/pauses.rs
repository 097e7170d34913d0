//! WASI calls that take long: how often the thread of the guest gets to other work meanwhile.

use std::time::Duration;

use tokio::task::{spawn_local, yield_now};
use wapcd::host::{HostOptions, Limits, WapcHostAsync, WasiParams};

use crate::{
    fairness::{LONG, SLICE, TRIES, on_core, on_one_thread},
    guest::{compile, guest_with},
};

/// Time that the thread was not to be had, at most, while a WASI guest does `body`.
fn longest_pause(import: &str, body: &str) -> Duration {
    let module = compile(&guest_with(import, "", body));
    let mut longest = Duration::MAX;
    on_one_thread(async {
        for _ in 0..TRIES {
            let limits = Limits { deadline: Some(LONG), memory: 128 << 20, ..Limits::default() };
            let options = HostOptions { limits, ..HostOptions::default() };
            let engine = Box::new(module.provider(WasiParams::default()));
            let mut host = WapcHostAsync::with_options(engine, None, options).await.unwrap();
            let call = spawn_local(async move { host.call("any", "").await });
            let (mut pause, mut last) = (Duration::ZERO, on_core());
            while !call.is_finished() {
                yield_now().await;
                let now = on_core();
                pause = pause.max(now - last);
                last = now;
            }
            call.await.unwrap().unwrap();
            longest = longest.min(pause);
        }
    });
    longest
}

#[test]
fn a_guest_that_asks_for_much_randomness_lets_its_thread_do_other_work() {
    let import = r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
    let body = "(drop (memory.grow (i32.const 320)))
                (if (call $random (i32.const 1048576) (i32.const 16777216)) (then (unreachable)))
                (if (i64.eqz (i64.or (i64.load (i32.const 1048576)) (i64.load (i32.const 17825784)))) (then (unreachable)))";
    let pause = longest_pause(import, body);
    assert!(pause < 10 * SLICE, "{pause:?}");
}

#[test]
fn a_guest_that_writes_much_at_once_lets_its_thread_do_other_work() {
    let import = r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;
    let body = "(drop (memory.grow (i32.const 80)))
                (memory.fill (i32.const 1048576) (i32.const 10) (i32.const 1048576))
                (i32.store (i32.const 256) (i32.const 1048576)) (i32.store (i32.const 260) (i32.const 1048576))
                (if (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 264)) (then (unreachable)))";
    let pause = longest_pause(import, body);
    assert!(pause < 10 * SLICE, "{pause:?}");
}
