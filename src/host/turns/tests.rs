//! Rounds as a table, and the queue without an engine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::AtomicUsize,
    task::{Context, Wake},
};

use super::*;

const TURN: Duration = Duration::from_micros(2);

/// The others' signs from turn to turn, a turn being `pace` long: the count of signs and of open host calls goes up by
/// these. Returns after how many turns the round is over.
fn turns_of_round(pace: Duration, others: impl Fn(u64) -> (u64, i64)) -> u64 {
    let began = Instant::now();
    let mut signs = Signs { count: 7, open: 3 };
    let mut round = Round::begin(signs, began);
    (1..)
        .find(|&turn| {
            let (count, open) = others(turn);
            signs = Signs { count: signs.count + count, open: signs.open + open };
            round.is_over(signs, began + pace * u32::try_from(turn).unwrap())
        })
        .unwrap()
}

fn turns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / TURN.as_nanos()).unwrap()
}

#[test]
fn a_guest_that_is_alone_goes_on_after_a_few_turns_whatever_host_calls_were_open_before() {
    assert_eq!(turns_of_round(TURN, |_| (0, 0)), u64::from(QUIET_TURNS));
}

#[test]
fn others_who_answered_are_given_time_for_their_next_call() {
    let over = turns_of_round(TURN, |turn| (u64::from(turn == 2), 0));
    assert_eq!(over, 2 + turns(AFTER_ANSWER));
}

#[test]
fn others_who_wait_for_a_host_call_are_given_time_for_its_answer() {
    let over = turns_of_round(TURN, |turn| if turn == 1 { (1, 1) } else { (0, 0) });
    assert_eq!(over, 1 + turns(AFTER_HOST_CALL));
    let over = turns_of_round(TURN, |turn| match turn {
        1 => (1, 1),
        9 => (1, -1),
        _ => (0, 0),
    });
    assert_eq!(over, 9 + turns(AFTER_ANSWER));
}

#[test]
fn others_who_never_rest_have_as_much_time_as_a_slice() {
    assert_eq!(turns_of_round(TURN, |_| (1, 0)), turns(SLICE));
    assert_eq!(turns_of_round(SLICE / 2, |_| (1, 1)), 2);
    assert_eq!(turns_of_round(SLICE * 2, |_| (1, 0)), 1);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// A guest that waits for its turn.
struct Waiter {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    woken: Arc<Woken>,
}

impl Waiter {
    fn new() -> Self {
        Self { future: Box::pin(Place::take().turn()), woken: Arc::default() }
    }

    /// Whether it may go on.
    fn may_go_on(&mut self) -> bool {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
    }

    fn goes_on_within(&mut self, polls: u32) -> bool {
        (0..polls).any(|_| self.may_go_on())
    }
}

fn waiting() -> usize {
    THREAD.with(|thread| thread.queue.lock().places.len())
}

#[test]
fn guests_go_on_in_the_order_in_which_they_came() {
    let mut guests: Vec<Waiter> = (0..5).map(|_| Waiter::new()).collect();
    let mut order = Vec::new();
    while order.len() < guests.len() {
        for (number, guest) in guests.iter_mut().enumerate() {
            if !order.contains(&number) && guest.may_go_on() {
                order.push(number);
            }
        }
    }
    assert_eq!(order, [0, 1, 2, 3, 4]);
    assert_eq!(waiting(), 0);
}

#[test]
fn only_the_first_two_are_woken_turn_by_turn() {
    let mut guests: Vec<Waiter> = (0..5).map(|_| Waiter::new()).collect();
    for guest in &mut guests {
        assert!(!guest.may_go_on());
    }
    let times: Vec<usize> = guests.iter().map(|guest| guest.woken.times()).collect();
    assert_eq!(times, [1, 1, 0, 0, 0]);
    drop(guests.remove(0));
    assert_eq!(guests[1].woken.times(), 1, "the third is second now");
    assert_eq!(guests[2].woken.times(), 0);
}

#[test]
fn a_guest_that_is_dropped_while_it_waits_leaves_the_queue() {
    let (mut first, mut second, third) = (Waiter::new(), Waiter::new(), Waiter::new());
    assert!(!first.may_go_on() && !second.may_go_on());
    drop(third);
    drop(first);
    assert_eq!(waiting(), 1);
    assert!(second.goes_on_within(QUIET_TURNS + 2));
    assert_eq!(waiting(), 0);
}

#[test]
fn a_first_that_nobody_polls_is_passed_over_and_comes_back() {
    let (mut first, mut second) = (Waiter::new(), Waiter::new());
    assert!(!first.may_go_on());
    assert!(second.goes_on_within(PATIENCE + QUIET_TURNS + 4));
    assert!(first.goes_on_within(QUIET_TURNS + 2));
    assert_eq!(waiting(), 0);
}
