//! The menu of `tests/guests/README.md`, with the Rust SDK.

use std::sync::atomic::{AtomicU64, Ordering};

use wapc_guest::prelude::*;

/// Calls of this instance so far.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Called by the host after loading.
#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("echo", |payload| counted(|| Ok(payload.to_vec())));
    register_function("fail", |payload| counted(|| Err(String::from_utf8_lossy(payload).into())));
    register_function("host_echo", |payload| counted(|| host_call("test", "echo", "echo", payload)));
    register_function("log", |payload| counted(|| log(payload)));
    register_function("spin", |_| counted(spin));
    register_function("trap", |_| counted(trap));
    register_function("grow", |_| counted(grow));
    register_function("state", |_| counted(state));
}

/// Counts a call, then does it: the SDK has no place that sees all calls.
fn counted(call: impl FnOnce() -> CallResult) -> CallResult {
    CALLS.fetch_add(1, Ordering::Relaxed);
    call()
}

fn log(line: &[u8]) -> CallResult {
    console_log(&String::from_utf8_lossy(line));
    Ok(Vec::new())
}

fn spin() -> CallResult {
    loop {
        std::hint::spin_loop();
    }
}

#[inline(never)] // so that its name stands in the backtrace
fn trap() -> CallResult {
    core::arch::wasm32::unreachable()
}

/// Ends in the standard library's abort, once the memory may not grow any more.
fn grow() -> CallResult {
    loop {
        std::mem::forget(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

fn state() -> CallResult {
    Ok(CALLS.load(Ordering::Relaxed).to_string().into_bytes())
}
