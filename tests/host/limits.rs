//! Section 4: memory, tables, stack, and sizes of what goes in and out.

use std::time::Duration;

use wapcd::host::{CallError, GuestExit, Limits, LoadError, Part, Resource, TrapKind};

use crate::{
    guest::{assemble, compile, guest, guest_with, menu, number},
    hosts::{Setup, both},
};

const PAGE: u64 = 65_536;

/// The menu guest has 8 pages and may grow to 10.
fn ten_pages() -> Limits {
    Limits { memory: 10 * PAGE, ..Limits::default() }
}

fn limit_exceeded(exit: GuestExit) -> (Resource, u64, Option<u64>, wapcd::host::Trap) {
    match exit {
        GuestExit::LimitExceeded { resource, limit, asked, trap } => (resource, limit, asked, *trap),
        other => panic!("expected a limit, got {other:?}"),
    }
}

// protocol: outcome.memory-limit
#[test]
fn a_refused_growth_of_memory_and_a_trap_are_the_limit_with_what_was_asked() {
    both(|kind| {
        let mut host = Setup::default().limits(ten_pages()).menu(kind);
        assert_eq!(host.call("grow", number(2)).unwrap(), "small");
        let exit = host.exit("grow", number(5));
        let text = exit.to_string();
        assert!(text.contains("memory limit of 655360 bytes exceeded, 983040 asked"), "{text}");
        let source = std::error::Error::source(&exit).unwrap().to_string();
        assert!(source.contains("unreachable"), "{source}");
        let (resource, limit, asked, trap) = limit_exceeded(exit);
        assert_eq!((resource, limit, asked), (Resource::Memory, 10 * PAGE, Some(15 * PAGE)));
        assert_eq!((trap.kind, trap.backtrace.len()), (TrapKind::Unreachable, 2));
        assert_eq!(host.count(), 1);
    });
}

// protocol: outcome.memory-limit
#[test]
fn an_abort_after_a_refused_growth_is_the_limit_too() {
    both(|kind| {
        let import = r#"(import "env" "abort" (func $abort (param i32 i32 i32 i32)))"#;
        let body = "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1))
                      (then (call $abort (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 2))))";
        let module = compile(&guest_with(import, "", body));
        let mut host = Setup::default().limits(ten_pages()).start(&module, kind).unwrap();
        let (resource, _, asked, trap) = limit_exceeded(host.exit("any", ""));
        assert_eq!((resource, asked, trap.kind), (Resource::Memory, Some(108 * PAGE), TrapKind::Abort));
    });
}

// protocol: outcome.table-limit
#[test]
fn a_refused_growth_of_a_table_and_a_trap_are_the_limit() {
    both(|kind| {
        let limits = Limits { table_elements: 5, ..Limits::default() };
        let mut host = Setup::default().limits(limits).menu(kind);
        assert_eq!(host.call("tabl", number(4)).unwrap(), "small");
        let (resource, limit, asked, trap) = limit_exceeded(host.exit("tabl", number(1)));
        assert_eq!((resource, limit, asked, trap.kind), (Resource::Table, 5, Some(6), TrapKind::Unreachable));
    });
}

// protocol: outcome.table-limit
#[test]
fn what_the_engine_itself_cannot_grow_is_a_limit_too() {
    both(|kind| {
        // The limits would allow it; the engine's tables end at 2^20 elements.
        let limits = Limits { table_elements: 10 << 20, ..Limits::default() };
        let mut host = Setup::default().limits(limits).menu(kind);
        let (resource, limit, asked, _) = limit_exceeded(host.exit("tabl", number(1 << 20)));
        assert_eq!((resource, limit, asked), (Resource::Table, 1 << 20, Some((1 << 20) + 1)));
    });
}

// protocol: outcome.refused-growth-handled
#[test]
fn a_guest_that_handles_a_refused_growth_and_answers_is_fine() {
    both(|kind| {
        let mut host = Setup::default().limits(ten_pages()).menu(kind);
        assert_eq!(host.call("handled", number(100)).unwrap(), "larger");
        assert_eq!(host.call("handled", number(1)).unwrap(), "small");
        assert_eq!(host.count(), 1);
    });
}

// protocol: outcome.refused-growth-handled
#[test]
fn a_trap_in_a_later_call_has_nothing_to_do_with_a_refused_growth() {
    both(|kind| {
        let mut host = Setup::default().limits(ten_pages()).menu(kind);
        assert_eq!(host.call("handled", number(100)).unwrap(), "larger");
        assert!(matches!(host.exit("trap", ""), GuestExit::Trapped(_)));
    });
}

// protocol: outcome.refused-growth-handled
#[test]
fn a_guests_own_maximum_is_not_the_hosts_limit() {
    both(|kind| {
        let text = menu().replacen("(export \"memory\") 8", "(export \"memory\") 8 9", 1);
        let mut host = Setup::default().limits(ten_pages()).start(&compile(&text), kind).unwrap();
        assert!(matches!(host.exit("grow", number(100)), GuestExit::Trapped(_)));
    });
}

// protocol: outcome.initial-memory
#[test]
fn memory_that_is_over_the_limit_from_the_start_is_a_load_error() {
    both(|kind| {
        let limits = Limits { memory: 8 * PAGE - 1, ..Limits::default() };
        let error = Setup::default().limits(limits).start(&compile(&guest("")), kind).unwrap_err();
        let LoadError::InitialSize { resource: Resource::Memory, asked, limit } = error else { panic!("{error:?}") };
        assert_eq!((asked, limit), (8 * PAGE, 8 * PAGE - 1));
        let exact = Limits { memory: 8 * PAGE, ..Limits::default() };
        Setup::default().limits(exact).start(&compile(&guest("")), kind).unwrap();
    });
}

// protocol: outcome.initial-table
#[test]
fn tables_that_are_over_the_limit_from_the_start_are_a_load_error() {
    both(|kind| {
        for (tables, asked) in [("(table 101 funcref)", 101), ("(table 60 funcref) (table 60 funcref)", 120)] {
            let limits = Limits { table_elements: 100, ..Limits::default() };
            let error = Setup::default().limits(limits).start(&compile(&guest_with("", tables, "")), kind);
            let error = error.unwrap_err();
            let LoadError::InitialSize { resource: Resource::Table, asked: found, limit: 100 } = error else {
                panic!("{tables}: {error:?}")
            };
            assert_eq!(found, asked);
        }
    });
}

// protocol: outcome.stack
#[test]
fn an_exhausted_stack_is_a_limit() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let (resource, limit, asked, trap) = limit_exceeded(host.exit("recurse", ""));
        assert_eq!((resource, limit, asked, trap.kind), (Resource::Stack, 512 << 10, None, TrapKind::StackOverflow));
        assert_eq!(trap.backtrace[0].function.as_deref(), Some("deeper"));
        assert_eq!(host.call("echo", "x").unwrap(), "x");
    });
}

fn too_large(error: CallError) -> (Part, u64, u64) {
    match error {
        CallError::TooLarge { part, size, limit } => (part, size, limit),
        other => panic!("expected a size over its limit, got {other:?}"),
    }
}

// protocol: outcome.payload-too-large
#[test]
fn a_payload_over_the_limit_never_reaches_the_guest() {
    both(|kind| {
        let limits = Limits { payload: 10, deadline: Some(Duration::from_secs(5)), ..Limits::default() };
        let mut host = Setup::default().limits(limits).menu(kind);
        let error = host.call("spin", vec![0; 11]).unwrap_err();
        assert_eq!(too_large(error), (Part::Payload, 11, 10));
        assert_eq!(host.call("echo", vec![1; 10]).unwrap(), vec![1; 10]);
    });
}

// protocol: outcome.operation-too-large
#[test]
fn an_operation_is_a_name_of_at_most_64_kib() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let long = format!("name{}", "e".repeat((64 << 10) - 4));
        assert_eq!(host.call(&long, "").unwrap(), long);
        assert_eq!(too_large(host.call(&format!("{long}e"), "").unwrap_err()), (Part::Operation, 65_537, 65_536));
        assert_eq!(host.error("", ""), "");
        assert_eq!(host.error("unknown", ""), "");
    });
}

// protocol: outcome.response-too-large
// protocol: outcome.error-too-large
#[test]
fn a_response_or_error_over_the_limit_is_not_copied() {
    both(|kind| {
        let limits = Limits { response: 100, ..Limits::default() };
        let mut host = Setup::default().limits(limits).menu(kind);
        assert_eq!(host.call("long", number(100)).unwrap().len(), 100);
        assert_eq!(too_large(host.call("long", number(101)).unwrap_err()), (Part::Response, 101, 100));
        assert_eq!(host.error("rant", number(100)).len(), 100);
        assert_eq!(too_large(host.call("rant", number(101)).unwrap_err()), (Part::GuestError, 101, 100));
        assert_eq!(host.count(), 1);
    });
}

// protocol: outcome.memory-limit
#[test]
fn a_guest_may_have_all_the_memory_that_its_limit_allows() {
    both(|kind| {
        let limits = Limits { memory: 4 << 30, ..Limits::default() };
        let text = r#"(module (memory (export "memory") 65536)
            (func (export "__guest_call") (param i32 i32) (result i32) (i32.store (i32.const -4) (i32.const 7)) (i32.const 1)))"#;
        let module = crate::guest::ENGINE.compile(&assemble(text)).unwrap();
        let mut host = Setup::default().limits(limits).start(&module, kind).unwrap();
        assert_eq!(host.error("any", ""), "no response");
    });
}
