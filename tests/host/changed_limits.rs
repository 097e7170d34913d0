//! Limits that change between two calls: they hold from the next call on and take nothing away.

use std::time::Duration;

use wapcd::host::{CallError, GuestExit, Limits, LoadError, Part, Resource};

use crate::{
    guest::number,
    hosts::{Host, Kind, Setup, both},
};

const PAGE: u64 = 65_536;

/// A host of the menu guest, which has 8 pages, with wide limits; its instance has counted once.
fn wide(kind: Kind) -> Host {
    let mut host = Setup::default().menu(kind);
    assert_eq!(host.count(), 1);
    host
}

fn asked(exit: GuestExit) -> (Resource, u64, Option<u64>) {
    match exit {
        GuestExit::LimitExceeded { resource, limit, asked, .. } => (resource, limit, asked),
        other => panic!("expected a limit, got {other:?}"),
    }
}

fn too_large(host: &mut Host, operation: &str, payload: impl Into<bytes::Bytes>) -> (Part, u64, u64) {
    match host.call(operation, payload) {
        Err(CallError::TooLarge { part, size, limit }) => (part, size, limit),
        other => panic!("expected a size over its limit, got {other:?}"),
    }
}

#[test]
fn a_guest_with_more_memory_than_a_new_limit_keeps_it_and_gets_no_more() {
    both(|kind| {
        let mut host = wide(kind);
        assert_eq!(host.call("grow", number(4)).unwrap(), "small");
        host.set_limits(Limits { memory: 10 * PAGE, ..Limits::default() });
        assert_eq!(host.call("grow", number(0)).unwrap(), "small", "its size may be asked for");
        assert_eq!(host.call("handled", number(1)).unwrap(), "larger");
        assert_eq!(host.count(), 2, "the instance goes on");
        assert_eq!(asked(host.exit("grow", number(1))), (Resource::Memory, 10 * PAGE, Some(13 * PAGE)));
        assert_eq!(host.call("grow", number(2)).unwrap(), "small", "a fresh instance has the new limit");
        assert_eq!(asked(host.exit("grow", number(1))), (Resource::Memory, 10 * PAGE, Some(11 * PAGE)));
    });
}

#[test]
fn a_guest_grows_into_more_memory_without_a_restart() {
    both(|kind| {
        let mut host = Setup::default().limits(Limits { memory: 8 * PAGE, ..Limits::default() }).menu(kind);
        assert_eq!(host.count(), 1);
        assert_eq!(host.call("handled", number(1)).unwrap(), "larger");
        host.set_limits(Limits { memory: 9 * PAGE, ..Limits::default() });
        assert_eq!(host.call("handled", number(1)).unwrap(), "small");
        assert_eq!(host.count(), 2);
    });
}

#[test]
fn a_guest_with_more_table_elements_than_a_new_limit_keeps_them_and_gets_no_more() {
    both(|kind| {
        let mut host = wide(kind);
        assert_eq!(host.call("tabl", number(9)).unwrap(), "small");
        host.set_limits(Limits { table_elements: 5, ..Limits::default() });
        assert_eq!(host.call("tabl", number(0)).unwrap(), "small");
        assert_eq!(host.count(), 2);
        assert_eq!(asked(host.exit("tabl", number(1))), (Resource::Table, 5, Some(11)));
    });
}

#[test]
fn payload_and_response_are_held_to_the_limits_of_their_call() {
    both(|kind| {
        let mut host = wide(kind);
        assert_eq!(host.call("long", number(101)).unwrap().len(), 101);
        host.set_limits(Limits { payload: 10, response: 100, ..Limits::default() });
        assert_eq!(too_large(&mut host, "echo", vec![0; 11]), (Part::Payload, 11, 10));
        assert_eq!(too_large(&mut host, "long", number(101)), (Part::Response, 101, 100));
        assert_eq!(host.call("long", number(100)).unwrap().len(), 100);
        host.set_limits(Limits::default());
        assert_eq!(host.call("echo", vec![1; 11]).unwrap(), vec![1; 11]);
        assert_eq!(host.call("long", number(101)).unwrap().len(), 101);
        assert_eq!(host.count(), 2, "one and the same instance");
    });
}

#[test]
fn a_new_deadline_ends_the_next_call_and_a_longer_one_lets_it_live() {
    both(|kind| {
        let mut host = wide(kind);
        let short = Duration::from_millis(30);
        host.set_limits(Limits { deadline: Some(short), ..Limits::default() });
        match host.exit("spin", "") {
            GuestExit::DeadlineExceeded { limit, .. } => assert_eq!(limit, short),
            other => panic!("{other:?}"),
        }
        host.set_limits(Limits { deadline: Some(Duration::from_secs(60)), ..Limits::default() });
        assert_eq!(host.call("echo", "x").unwrap(), "x");
    });
}

#[test]
fn an_instance_that_is_started_later_starts_under_the_new_limits() {
    both(|kind| {
        let mut host = wide(kind);
        host.set_limits(Limits { memory: PAGE, ..Limits::default() });
        assert_eq!(host.count(), 2, "the one that lives has more already");
        let error = host.restart().unwrap_err();
        assert!(matches!(error, LoadError::InitialSize { resource: Resource::Memory, limit: PAGE, .. }), "{error:?}");
        host.set_limits(Limits::default());
        assert_eq!(host.count(), 1, "the next call starts one");
    });
}
