//! An idle process is idle: the ticker sleeps while no guest runs.

use std::{fs, time::Duration};

use wapcd::host::{WapcHostAsync, WasmtimeEngine};

use crate::{
    alone::alone,
    deadline::rest,
    guest::{assemble, menu, settings},
    hosts::runtime,
};

/// Time that the threads of this process have computed.
fn computed() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: fs::DirEntry| {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).unwrap();
        schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    Duration::from_nanos(tasks.map(|task| of_task(task.unwrap())).sum())
}

// protocol: pool.idle
#[test]
fn a_hundred_idle_instances_use_less_than_a_thousandth_of_a_core() {
    alone("idle::a_hundred_idle_instances_use_less_than_a_thousandth_of_a_core", || {
        let engine = WasmtimeEngine::new(settings()).unwrap();
        let module = engine.compile(&assemble(&menu())).unwrap();
        runtime().block_on(async {
            let mut setup = crate::hosts::Setup::default().deadline(Duration::from_secs(5));
            setup.options.limits.payload = 10;
            let mut hosts = Vec::new();
            for _ in 0..100 {
                let provider = Box::new(module.provider(Default::default()));
                let mut host = WapcHostAsync::with_options(provider, None, setup.options.clone()).await.unwrap();
                host.call("echo", "x").await.unwrap();
                hosts.push(host);
            }
            // The ticker goes on for 50 ms after the last call.
            rest(200);
            // What an idle process does it does always: neighbours make some of the times longer, and not all.
            let used = [(); 3].map(|()| {
                let before = computed();
                rest(1_000);
                computed() - before
            });
            assert!(used.iter().any(|used| *used < Duration::from_millis(1)), "{used:?} of a second each");
            let before = computed();
            // And it wakes up again: a deadline ends a guest that spins.
            hosts[0].call("spin", "").await.unwrap_err();
            assert!(computed() - before > Duration::from_millis(100));
        });
    });
}
