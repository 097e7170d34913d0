//! What a connection is doing, and how long it may: the time limits of connections, as plain values.
//!
//! ```text
//!             first bytes      a request is whole         its answer is handed over
//!   Opening ───────────────────────▶ Busy ───────────────────▶ Idle ──▶ Closing
//!   (head_timeout)                    ▲                         │   (keep_alive,
//!                                     └── Head (head_timeout) ◀─┘    or drained)
//! ```
//!
//! Beside all that, bytes that wait to be written must go on being taken (`write_timeout`). The library that reads requests has
//! one limit for heads which counts idle time, too: that is why it is not used.

use std::{
    collections::BTreeMap,
    task::Waker,
    time::{Duration, Instant},
};

use crate::config::HttpLimits;

/// How long an idle connection is kept when the trigger drains: a request that was sent before its client could know is on its
/// way for one trip around the world at most.
const GRACE: Duration = Duration::from_millis(500);

/// How long a connection that was closed waits for its client to read the last answer and close, too. A reset would take
/// that answer from clients that still send.
const LINGER: Duration = Duration::from_secs(2);

/// How soon after its request a client that says nothing more has only closed its side, and waits for the answer. One that has
/// given up waiting does so later, and looks no different: its call is taken back.
const HALF_CLOSES: Duration = Duration::from_millis(500);

/// Bytes of one write that are no answer: frames that say that others arrived.
const HOUSEKEEPING: usize = 64;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It agrees with its client on how they will speak, or waits for the first request.
    Opening,
    /// It waits for another request.
    Idle,
    /// A request has begun to come.
    Head,
    /// Requests are being answered.
    Busy,
    /// It says that it ends.
    Closing,
}

/// The life of one connection.
#[derive(Debug)]
pub(super) struct Life {
    limits: HttpLimits,
    phase: Phase,
    /// Since when; `None`: since now, whenever that is asked.
    since: Option<Instant>,
    /// Since when bytes wait that nobody takes.
    blocked: Option<Instant>,
    draining: Option<Instant>,
    /// Whether many requests share the connection.
    multiplexed: bool,
    /// Requests that are being answered.
    requests: u32,
    /// Answers of a connection with many that were handed over and are not taken, with since when.
    answers: BTreeMap<u64, Instant>,
    next_answer: u64,
    /// Whether a request's body is still to come to its end.
    receiving: bool,
    /// Whether a request's body was not read to its end.
    unread: bool,
    /// Whether it has waited for its client long enough.
    lingered: bool,
    /// Whom to wake when nothing is being answered any more.
    waiting: Option<Waker>,
}

impl Life {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        Self {
            limits: limits.clone(),
            phase: Phase::Opening,
            since: None,
            blocked: None,
            draining: None,
            multiplexed: false,
            requests: 0,
            answers: BTreeMap::new(),
            next_answer: 0,
            receiving: false,
            unread: false,
            lingered: false,
            waiting: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Other limits hold from now on.
    pub(super) fn limit(&mut self, limits: &HttpLimits) {
        if self.limits != *limits {
            self.limits = limits.clone();
        }
    }

    /// Whether many requests share it.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    /// Many requests will share it.
    pub(super) fn multiplex(&mut self) {
        self.multiplexed = true;
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = None;
    }

    /// Bytes came.
    pub(super) fn read(&mut self) {
        if self.phase == Phase::Idle && !self.multiplexed {
            self.enter(Phase::Head);
        }
    }

    /// So many bytes were taken.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.blocked = None;
        // The end of an answer that was handed over before.
        if bytes > HOUSEKEEPING && matches!(self.phase, Phase::Idle | Phase::Closing) {
            self.since = None;
        }
    }

    /// Bytes wait, because nobody takes them.
    pub(super) fn block(&mut self, now: impl FnOnce() -> Instant) {
        self.blocked.get_or_insert_with(now);
    }

    /// A request has come.
    pub(super) fn begin(&mut self) {
        self.requests += 1;
        self.unread = false;
        self.receiving = false;
        if self.phase != Phase::Closing {
            self.enter(Phase::Busy);
        }
    }

    /// A request was answered; whoever takes the answer is waited for. Gives what to tell when it was taken.
    pub(super) fn answer(&mut self, now: impl FnOnce() -> Instant) -> Option<u64> {
        self.multiplexed.then(|| {
            self.next_answer += 1;
            self.answers.insert(self.next_answer, now());
            self.next_answer
        })
    }

    /// A request has ended, whether it was answered or not.
    pub(super) fn end(&mut self, answer: Option<u64>) {
        self.requests = self.requests.saturating_sub(1);
        answer.map(|answer| self.answers.remove(&answer));
        if self.requests == 0 && self.phase == Phase::Busy {
            self.enter(Phase::Idle);
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Someone waits until nothing is being answered.
    pub(super) fn wait(&mut self, waker: &Waker) {
        self.waiting = Some(waker.clone());
    }

    /// A request has a body.
    pub(super) fn receive(&mut self) {
        self.receiving = true;
    }

    /// A request's body has come to its end.
    pub(super) fn received(&mut self) {
        self.receiving = false;
        if self.phase == Phase::Busy {
            self.since = None;
        }
    }

    /// A request's body was left before its end.
    pub(super) fn leave_unread(&mut self) {
        self.unread = true;
    }

    /// Whether the body of a request is being read.
    pub(super) fn is_receiving(&self) -> bool {
        self.phase == Phase::Busy && self.receiving && !self.unread
    }

    /// Whether a request that has come as a whole is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.phase == Phase::Busy && !self.receiving && !self.unread
    }

    /// Whether a client that says nothing more from now on has only just asked, and waits for its answer.
    pub(super) fn has_just_asked(&self, now: impl FnOnce() -> Instant) -> bool {
        let is_early = |since| now().saturating_duration_since(since) < HALF_CLOSES;
        self.is_answering() && self.since.is_none_or(is_early)
    }

    /// It says that it ends.
    pub(super) fn close(&mut self) {
        if self.phase != Phase::Closing {
            self.unread |= matches!(self.phase, Phase::Opening | Phase::Head);
            self.enter(Phase::Closing);
        }
    }

    /// Takes no request but those that are on their way.
    pub(super) fn drain(&mut self, now: impl FnOnce() -> Instant) {
        self.draining.get_or_insert_with(now);
    }

    /// Whether its client may still be sending what nobody reads, and is waited for.
    pub(super) fn is_interrupted(&self) -> bool {
        self.unread && !self.lingered
    }

    /// Its client is waited for no longer; whether it was.
    pub(super) fn end_wait(&mut self) -> bool {
        let waited = self.phase == Phase::Closing && self.is_interrupted();
        self.lingered |= waited;
        waited
    }

    /// When it has done too long what it is doing; `None`: it may do that for ever.
    pub(super) fn due(&mut self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let since = *self.since.get_or_insert_with(now);
        let blocked = self.blocked.map(|since| since + self.limits.write_timeout);
        let phase = match self.phase {
            Phase::Opening | Phase::Head => {
                let over = since + self.limits.head_timeout;
                let drained = self.draining.filter(|_| self.phase == Phase::Opening);
                Some(drained.map_or(over, |draining| over.min(since.max(draining) + LINGER)))
            }
            // What is written takes as long as it is being read.
            Phase::Idle if blocked.is_some() => None,
            Phase::Idle => Some(match self.draining {
                Some(draining) => since.max(draining) + GRACE,
                None => since + self.limits.keep_alive,
            }),
            Phase::Busy => self.answers.values().next().map(|since| *since + self.limits.write_timeout),
            Phase::Closing => Some(since + LINGER),
        };
        [blocked, phase].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const WRITE: Duration = Duration::from_secs(30);
    const IDLE: Duration = Duration::from_secs(75);

    fn life() -> (Life, Instant) {
        (Life::new(&HttpLimits::default()), Instant::now())
    }

    fn at(seconds: u64) -> impl Fn(Instant) -> Instant {
        move |start| start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_head_and_an_idle_connection_have_limits_of_their_own() {
        let (mut life, start) = life();
        assert_eq!(life.due(|| start), Some(start + HEAD));
        // Bytes do not prolong the wait for a head.
        life.read();
        assert_eq!(life.due(|| at(5)(start)), Some(start + HEAD));
        life.begin();
        assert_eq!(life.due(|| at(6)(start)), None);
        life.end(None);
        assert_eq!(life.due(|| at(20)(start)), Some(at(20)(start) + IDLE));
        life.read();
        assert_eq!(life.due(|| at(60)(start)), Some(at(60)(start) + HEAD));
        life.read();
        assert_eq!(life.due(|| at(65)(start)), Some(at(60)(start) + HEAD));
    }

    #[test]
    fn whoever_reads_an_answer_slowly_has_time_as_long_as_it_reads() {
        let (mut life, start) = life();
        life.begin();
        life.block(|| start);
        life.block(|| at(9)(start));
        assert_eq!(life.due(|| start), Some(start + WRITE));
        life.end(None);
        assert_eq!(life.due(|| at(10)(start)), Some(start + WRITE));
        life.wrote(1000);
        life.block(|| at(29)(start));
        assert_eq!(life.due(|| at(29)(start)), Some(at(29)(start) + WRITE));
        life.wrote(1000);
        assert_eq!(life.due(|| at(40)(start)), Some(at(40)(start) + IDLE));
        // An acknowledgement is no request.
        life.wrote(17);
        assert_eq!(life.due(|| at(50)(start)), Some(at(40)(start) + IDLE));
    }

    #[test]
    fn an_answer_among_many_that_nobody_takes_ends_the_connection() {
        let (mut life, start) = life();
        life.multiplex();
        life.begin();
        life.begin();
        let (first, second) = (life.answer(|| start), life.answer(|| at(5)(start)));
        assert_eq!(life.due(|| start), Some(start + WRITE));
        life.end(first);
        assert_eq!(life.due(|| start), Some(at(5)(start) + WRITE));
        life.end(second);
        assert_eq!(life.phase(), Phase::Idle);
        life.read();
        assert_eq!(life.phase(), Phase::Idle);
    }

    #[test]
    fn an_idle_connection_that_drains_has_a_grace_and_a_busy_one_its_answer() {
        let (mut life, start) = life();
        life.begin();
        life.drain(|| start);
        assert_eq!(life.due(|| start), None);
        life.end(None);
        assert_eq!(life.due(|| at(3)(start)), Some(at(3)(start) + GRACE));
        life.close();
        assert_eq!(life.due(|| at(4)(start)), Some(at(4)(start) + LINGER));
        life.begin();
        life.end(None);
        assert_eq!(life.phase(), Phase::Closing);
    }

    #[test]
    fn whoever_stops_sending_waits_for_its_answer_if_it_has_only_just_asked() {
        let (mut life, start) = life();
        let soon = || start + HALF_CLOSES / 2;
        assert!(!life.has_just_asked(soon), "it has asked nothing");
        life.begin();
        assert!(life.has_just_asked(soon));
        life.due(|| start);
        assert!(life.has_just_asked(soon));
        assert!(!life.has_just_asked(|| start + HALF_CLOSES), "it may have given up");
        life.begin();
        life.receive();
        assert!(!life.has_just_asked(soon), "the body breaks off");
        life.due(|| start);
        life.received();
        life.due(|| at(5)(start));
        assert!(life.has_just_asked(|| at(5)(start)), "the body took its time");
        life.leave_unread();
        assert!(!life.has_just_asked(|| at(5)(start)));
        life.end(None);
        life.end(None);
        assert!(!life.has_just_asked(soon));
    }

    #[test]
    fn a_body_that_was_left_and_a_head_that_was_none_interrupt_a_client() {
        let closed = |before: &dyn Fn(&mut Life)| {
            let (mut life, _) = life();
            before(&mut life);
            life.close();
            life.is_interrupted()
        };
        assert!(closed(&|_| {}));
        assert!(!closed(&Life::begin));
        assert!(closed(&|life| {
            life.begin();
            life.leave_unread();
            life.end(None);
        }));
        assert!(!closed(&|life| {
            life.begin();
            life.end(None);
        }));
        assert!(closed(&|life| {
            life.begin();
            life.end(None);
            life.read();
        }));
    }
}
