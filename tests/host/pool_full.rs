//! A pool as large as the kernel allows, really filled: what the estimate of mappings promises must hold.

use std::fs;

use wapcd::host::{EngineError, EngineSettings, LoadError, WapcHostAsync, WasmtimeEngine};

use crate::{
    alone::alone,
    guest::{assemble, settings},
    hosts::runtime,
};

/// A guest that takes what those of Rust and Zig take: a stack below its data, data in several places, tables, one of
/// them grown, a heap that grows, WASI.
const REAL: &str = r#"(module
    (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
    (import "wapc" "__guest_response" (func $response (param i32 i32)))
    (memory (export "memory") 8)
    (table $calls 200 funcref) (elem (table $calls) (i32.const 1) func $f $f) (table $grown 1 funcref)
    (data (i32.const 70000) "answer") (data (i32.const 300000) "more data")
    (func $f)
    (func (export "_start") (drop (table.grow $grown (ref.null func) (i32.const 4000))) (call $f))
    (func (export "__guest_call") (param i32 i32) (result i32)
      (drop (call $yield)) (drop (memory.grow (i32.const 3)))
      (i32.store (i32.const 4000) (i32.const 1)) (i32.store (i32.const 300000) (i32.const 1))
      (i32.store (i32.const 700000) (i32.const 1))
      (call $response (i32.const 70000) (i32.const 6)) (i32.const 1)))"#;

fn mappings() -> u64 {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64
}

/// The largest engine that is not refused.
fn largest() -> (u32, WasmtimeEngine) {
    let settings = |instances| EngineSettings { instances, ..settings() };
    let Err(EngineError::TooManyMappings(error)) = WasmtimeEngine::new(settings(10_000_000)) else { panic!() };
    let each = error.needed / u64::from(error.instances);
    let most = u32::try_from(error.usable / each).unwrap();
    // Between the two questions the process may have mapped something more.
    let engine = (0..100).find_map(|fewer| Some((most - fewer, WasmtimeEngine::new(settings(most - fewer)).ok()?)));
    engine.unwrap()
}

// protocol: pool.full
#[test]
fn a_pool_at_the_limit_of_the_kernel_can_be_filled_and_every_instance_called() {
    alone("pool_full::a_pool_at_the_limit_of_the_kernel_can_be_filled_and_every_instance_called", || {
        let kernel: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        let before = mappings();
        let (instances, engine) = largest();
        let empty = mappings();
        let module = engine.compile(&assemble(REAL)).unwrap();
        let provider = || Box::new(module.provider(Default::default()));
        runtime().block_on(async {
            let mut hosts = Vec::new();
            for _ in 0..instances {
                hosts.push(WapcHostAsync::new(provider(), None).await.unwrap());
            }
            for host in &mut hosts {
                assert_eq!(host.call("any", "payload").await.unwrap(), "answer");
            }
            let full = mappings();
            let (stack, each) = ((empty - before) as f64, (full - empty) as f64);
            let count = f64::from(instances);
            let said = format!(
                "{instances} instances: {full} of {kernel} mappings, {:.2} a stack, {:.2} an instance",
                stack / count,
                each / count
            );
            // One in a hundred beyond what was planned: code, and what the process itself has mapped since.
            assert!(full <= kernel * 81 / 100, "{said}");
            assert!(full >= kernel * 70 / 100, "the estimate wastes room: {said}");
            let error = WapcHostAsync::new(provider(), None).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, LoadError::NoRoom { limit } if limit == instances), "{error:?}");
        });
    });
}
