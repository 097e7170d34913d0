//! A bounded run of what `fuzz/` does without bound: hostile integers at every import, hostile bytes to the compiler.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use rand::{Rng, SeedableRng, rngs::StdRng};
use wapcd::host::{CallError, GuestExit, Limits};

use crate::{
    guest::{ENGINE, assemble, menu},
    hostile_guest::{hostile, hostile_module},
    hosts::{Kind, Setup},
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    // protocol: known.hostile-pointers
    // protocol: hostcall.bad-pointer
    #[test]
    fn no_integer_at_any_import_harms_the_host(data in vec(any::<u8>(), 0..1_000)) {
        hostile(&data);
    }

    // protocol: load.not-wasm
    #[test]
    fn no_bytes_harm_the_compiler(data in vec(any::<u8>(), 0..200)) {
        hostile_module(&data);
        hostile_module(&[&b"\0asm\x01\0\0\0"[..], &data].concat());
    }
}

// protocol: known.hostile-pointers
#[test]
fn each_import_is_called_with_each_kind_of_wild_number() {
    for import in 0..11u8 {
        for mode in 0..6u8 {
            let numbers = (0..8).flat_map(|nth| [mode, nth * 31, 0x7f ^ nth, nth, 255 - nth]);
            let call = [0, 0, 0, 0, import].into_iter().chain(numbers).collect::<Vec<_>>();
            // Once alone, and once after a host call that left a response.
            hostile(&call);
            let host_call = [0, 0, 0, 0, 3].into_iter().chain([1, 0, 0, 0, 3].repeat(8)).collect::<Vec<_>>();
            hostile(&[host_call, call].concat());
        }
    }
}

// protocol: load.not-wasm
// protocol: outcome.typed
#[test]
fn a_real_guest_with_flipped_bytes_loads_or_is_refused_and_never_harms_the_host() {
    let whole = assemble(&menu());
    let mut random = StdRng::seed_from_u64(2);
    let limits = Limits { deadline: Some(Duration::from_millis(100)), ..Limits::default() };
    let mut loaded = 0;
    for nth in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..=nth % 3 {
            let at = random.random_range(8..bytes.len());
            bytes[at] = random.random();
        }
        let Ok(module) = ENGINE.compile(&bytes) else { continue };
        let kind = if nth % 2 == 0 || module.imports_wasi() { Kind::Async } else { Kind::Plain };
        let Ok(mut host) = Setup::reversing().limits(limits.clone()).start(&module, kind) else { continue };
        loaded += 1;
        for operation in ["echo", "host", "trap", "log", "left"] {
            match host.call(operation, "payload") {
                Err(CallError::Restart(error)) => panic!("{error:?}"),
                Err(CallError::Exit(GuestExit::HostPanicked(text))) => panic!("{text}"),
                _ => {}
            }
        }
    }
    assert!(loaded > 10, "only {loaded} of the mutants started");
}
