//! Section 8: ids, and hosts on threads.

use std::{collections::BTreeSet, thread};

use wapcd::host::{WapcHost, WapcHostAsync};

use crate::{
    alone::alone,
    guest::MENU,
    hosts::{Setup, both},
};

// protocol: id.unique
#[test]
fn ids_are_unique_in_the_process() {
    let ids = thread::scope(|scope| {
        let start = || {
            let host = || Setup::default().menu(crate::hosts::Kind::Plain).id();
            (0..20).map(|_| host()).collect::<Vec<_>>()
        };
        let threads = [scope.spawn(start), scope.spawn(start)];
        threads.map(|thread| thread.join().unwrap()).concat()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 40, "{ids:?}");
    assert!(!ids.contains(&0));
}

// protocol: id.unique
#[test]
fn ids_count_from_one_up() {
    alone("identity::ids_count_from_one_up", || {
        for expected in 1..=3 {
            assert_eq!(Setup::default().menu(crate::hosts::Kind::Plain).id(), expected);
        }
    });
}

// protocol: id.to-callback
#[test]
fn a_callback_receives_the_id_of_its_host() {
    both(|kind| {
        let mut hosts = [(); 3].map(|()| Setup::answering(|id, _| Ok(id.to_string().into())).menu(kind));
        for host in &mut hosts {
            let id = host.id().to_string();
            assert_eq!(host.call("host", "").unwrap(), id);
            host.exit("trap", "");
            assert_eq!(host.call("host", "").unwrap(), id);
        }
    });
}

// protocol: flow.threads
#[test]
fn a_host_can_be_moved_between_threads() {
    both(|kind| {
        let mut host = Setup::reversing().menu(kind);
        for expected in 1..=4 {
            host = thread::scope(|scope| {
                let moved = scope.spawn(move || {
                    assert_eq!(host.count(), expected);
                    assert_eq!(host.call("host", "abc").unwrap(), "cba");
                    host
                });
                moved.join().unwrap()
            });
        }
    });
}

// protocol: flow.threads
#[test]
fn hosts_on_two_threads_do_not_disturb_each_other() {
    both(|kind| {
        thread::scope(|scope| {
            for letter in ["a", "b"] {
                scope.spawn(move || {
                    let mut host = Setup::reversing().menu(kind);
                    for length in 1..300 {
                        assert_eq!(host.call("host", letter.repeat(length)).unwrap(), letter.repeat(length));
                        assert_eq!(host.count(), length as u32);
                    }
                });
            }
        });
    });
}

// protocol: flow.threads
#[test]
fn hosts_and_their_calls_can_be_sent_to_other_threads() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    async fn can_be_sent(mut host: WapcHostAsync) {
        send(host.call("echo", "")).await.unwrap();
        send(host.replace_module(b"")).await.unwrap_err();
        send(host.restart()).await.unwrap();
    }
    send(WapcHost::new(Box::new(MENU.provider(Default::default())), None).unwrap());
    crate::hosts::runtime().block_on(async {
        let host = WapcHostAsync::new(Box::new(MENU.provider(Default::default())), None).await.unwrap();
        send(can_be_sent(host)).await;
    });
}

// protocol: known.mixed-calls
#[test]
fn calls_to_one_host_cannot_mix_since_a_call_borrows_it() {
    both(|kind| {
        let shared = parking_lot::Mutex::new(Setup::reversing().menu(kind));
        thread::scope(|scope| {
            for letter in ["a", "b", "c"] {
                let shared = &shared;
                scope.spawn(move || {
                    for length in 1..100 {
                        let answer = shared.lock().call("host", letter.repeat(length)).unwrap();
                        assert_eq!(answer, letter.repeat(length));
                    }
                });
            }
        });
    });
}
