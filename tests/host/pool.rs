//! Many instances: a pool without room, and settings that the kernel could not bear.

use std::num::NonZeroU64;

use wapcd::host::{EngineError, EngineSettings, LoadError, MappingLimit, TooManyMappings, WasmtimeEngine};

use crate::{
    guest::{assemble, menu, settings},
    hosts::{Kind, Setup, both},
};

fn engine(instances: u32) -> WasmtimeEngine {
    WasmtimeEngine::new(EngineSettings { instances, ..settings() }).unwrap()
}

// protocol: pool.no-room
#[test]
fn an_instance_too_many_is_refused_until_another_ends() {
    both(|kind| {
        let module = engine(3).compile(&assemble(&menu())).unwrap();
        let mut hosts: Vec<_> = (0..3).map(|_| Setup::default().start(&module, kind).unwrap()).collect();
        for _ in 0..2 {
            let error = Setup::default().start(&module, kind).unwrap_err();
            assert!(matches!(error, LoadError::NoRoom { limit: 3 }), "{error:?}");
            assert!(error.to_string().contains('3'));
        }
        assert!(hosts.iter_mut().all(|host| host.count() == 1));
        hosts.pop();
        hosts.push(Setup::default().start(&module, kind).unwrap());
        assert_eq!(hosts[2].count(), 1);
    });
}

// protocol: pool.no-room
#[test]
fn in_a_full_pool_instances_are_rebuilt_in_their_own_place_but_cannot_be_replaced() {
    both(|kind| {
        let module = engine(2).compile(&assemble(&menu())).unwrap();
        let mut hosts = [(); 2].map(|()| Setup::default().start(&module, kind).unwrap());
        for _ in 0..5 {
            hosts[0].exit("trap", "");
            assert_eq!(hosts[0].count(), 1);
        }
        let error = hosts[0].replace(&assemble(&menu())).unwrap_err();
        assert!(matches!(error, LoadError::NoRoom { limit: 2 }), "{error:?}");
        assert_eq!((hosts[0].count(), hosts[1].count()), (2, 1));
    });
}

fn refused(settings: EngineSettings) -> TooManyMappings {
    match WasmtimeEngine::new(settings) {
        Err(EngineError::TooManyMappings(error)) => error,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

// protocol: pool.mappings
#[test]
fn settings_beyond_a_given_number_of_mappings_are_refused() {
    let mappings = MappingLimit::Fixed(NonZeroU64::new(100).unwrap());
    let error = refused(EngineSettings { instances: 1_000, mappings, ..settings() });
    assert_eq!((error.instances, error.usable), (1_000, 100));
    assert!(error.needed > 1_000);
    let text = error.to_string();
    assert!(text.contains("vm.max_map_count") && text.contains("1000 instances"), "{text}");
    assert!(text.contains(&error.sysctl().to_string()), "{text}");
    WasmtimeEngine::new(EngineSettings { instances: 5, mappings, ..settings() }).unwrap();
}

// protocol: pool.mappings
#[test]
fn settings_beyond_what_the_kernel_allows_are_refused() {
    for instances in [10_000_000, u32::MAX] {
        let error = refused(EngineSettings { instances, ..settings() });
        assert!(error.sysctl() > u64::from(instances), "{error}");
        assert!(error.used > 0 && error.usable > 0, "{error:?}");
    }
}

// protocol: pool.mappings
#[test]
fn a_further_engine_leaves_to_the_others_what_they_have_not_mapped_yet() {
    const INSTANCES: u32 = 2_000;
    let first = engine(INSTANCES);
    let used = |others: &[WasmtimeEngine]| {
        let settings = EngineSettings { instances: 10_000_000, ..settings() };
        match WasmtimeEngine::beside(settings, others) {
            Err(EngineError::TooManyMappings(error)) => error.used,
            other => panic!("expected a refusal, got {other:?}"),
        }
    };
    let others = [first.clone()];
    // Other tests of the process may map and unmap between the two questions.
    let to_come = || used(&others).saturating_sub(used(&[]));
    let before = to_come();
    assert!((7_000..9_000).contains(&before), "four for each instance: {before}");
    let module = first.compile(&assemble(&menu())).unwrap();
    let hosts: Vec<_> = (0..INSTANCES).map(|_| Setup::default().start(&module, Kind::Plain).unwrap()).collect();
    let living = to_come();
    assert!(living < 1_000, "nothing is to come when all instances live: {living}");
    drop(hosts);
    let left = to_come();
    assert!(left < 1_000, "what instances leave stays mapped: {left}");
}

// protocol: pool.mappings
#[test]
fn settings_that_the_engine_does_not_take_are_an_error() {
    let error = WasmtimeEngine::new(EngineSettings { guest_stack: 0, ..settings() }).unwrap_err();
    assert!(matches!(error, EngineError::Start(_)), "{error:?}");
}
