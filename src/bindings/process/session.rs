//! What the workers and the task of the program share: requests on their way, and who waits for which answer.
//!
//! ```text
//!  worker ── submit ──▶ queue ── next ──▶ writer task ──▶ stdin
//!     ▲                  waiting: id → who waits
//!     └──── oneshot ◀─── answer ◀── reader task ◀──────── stdout
//! ```
//!
//! The queue holds what the program has not read. It has no more requests than there are host calls in flight, which the
//! binding's limits bound: a request that nobody waits for any more is taken out, or cancelled if it was written.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::protocol::{self, Said};
use crate::{
    bindings::{BindingCall, payload::cut},
    host::{HostCallError, HostErrorKind},
};

/// Cancelled requests whose answers are still taken for late ones, and not for wrong ones. A program that answers later than
/// so many others were cancelled is not told apart from one that answers nothing.
const REMEMBERED: usize = 4096;

/// One run of the program, from its start to its end.
pub(super) struct Session {
    binding: Arc<str>,
    state: Mutex<State>,
    /// Wakes the writer.
    more: Notify,
    /// The operations that the program has, once it is ready; `None`: it did not say.
    operations: OnceLock<Option<BTreeSet<String>>>,
}

#[derive(Default)]
struct State {
    /// The last id that was given out.
    last: u64,
    queue: VecDeque<Outgoing>,
    waiting: HashMap<u64, Waiting>,
    /// Written requests whose answers nobody wants.
    abandoned: BTreeSet<u64>,
    /// Answers to ids up to here, that are not known, may be late.
    forgotten: u64,
    /// Whether nothing new is taken.
    closing: bool,
    /// Why nothing is answered any more.
    ended: Option<Arc<str>>,
}

struct Outgoing {
    /// The request or ping that it is; `None` for a cancellation.
    id: Option<u64>,
    message: Bytes,
}

enum Waiting {
    Call(oneshot::Sender<Result<Bytes, HostCallError>>),
    Ping(oneshot::Sender<Result<Bytes, HostCallError>>),
}

impl Session {
    pub(super) fn new(binding: Arc<str>) -> Arc<Self> {
        Arc::new(Self { binding, state: Mutex::default(), more: Notify::new(), operations: OnceLock::new() })
    }

    /// Notes what the program can do.
    pub(super) fn ready(&self, operations: Option<Vec<String>>) {
        self.operations.get_or_init(|| operations.map(|names| names.into_iter().collect()));
    }

    /// Sends a host call to the program, unless it does not have the operation or has ended.
    pub(super) fn submit(self: &Arc<Self>, call: &BindingCall) -> Result<Ticket, HostCallError> {
        if let Some(Some(known)) = self.operations.get()
            && !known.contains(&call.operation)
        {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(call.no_such_operation(&self.binding, &names));
        }
        let left = call.caller.deadline.saturating_duration_since(Instant::now());
        self.send(|id| protocol::request(id, call, left), Waiting::Call)
    }

    /// Asks the program whether it is well.
    pub(super) fn ping(self: &Arc<Self>) -> Result<Ticket, HostCallError> {
        self.send(protocol::ping, Waiting::Ping)
    }

    fn send(
        self: &Arc<Self>,
        write: impl FnOnce(u64) -> Result<Bytes, HostCallError>,
        waiting: fn(oneshot::Sender<Result<Bytes, HostCallError>>) -> Waiting,
    ) -> Result<Ticket, HostCallError> {
        let id = {
            let mut state = self.state.lock();
            self.refuse_if_over(&state)?;
            state.last += 1;
            state.last
        };
        // A large payload is copied here, and nobody waits for the lock meanwhile.
        let message = write(id)?;
        let (answer, reply) = oneshot::channel();
        let mut state = self.state.lock();
        self.refuse_if_over(&state)?;
        state.waiting.insert(id, waiting(answer));
        state.queue.push_back(Outgoing { id: Some(id), message });
        drop(state);
        self.more.notify_one();
        Ok(Ticket { session: Arc::clone(self), id, reply })
    }

    fn refuse_if_over(&self, state: &State) -> Result<(), HostCallError> {
        match &state.ended {
            Some(_) => Err(self.over("has ended")),
            None if state.closing => Err(self.over("is being stopped")),
            None => Ok(()),
        }
    }

    /// What guests are told. How the program ended is for operators: its last words may be about another module.
    fn over(&self, what: &str) -> HostCallError {
        let text = format!("the program of binding `{}` {what}", self.binding);
        HostCallError::new(HostErrorKind::Unavailable, text)
    }

    /// The next message to write, and whether more wait behind it; `None` when there will be none.
    pub(super) async fn next(&self) -> Option<(Bytes, bool)> {
        loop {
            {
                let mut state = self.state.lock();
                if let Some(outgoing) = state.queue.pop_front() {
                    return Some((outgoing.message, !state.queue.is_empty()));
                }
                if state.closing {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }

    /// Takes what the program said after it was ready.
    ///
    /// # Errors
    /// It should not have said that.
    pub(super) fn take(&self, said: Said) -> Result<(), String> {
        let (id, outcome, is_pong) = match said {
            Said::Reply { id, outcome } => (id, outcome.map_err(HostCallError::from), false),
            Said::Pong(id) => (id, Ok(Bytes::new()), true),
            Said::Ready { .. } => return Err("it said twice that it is ready".to_owned()),
        };
        let mut state = self.state.lock();
        let answer = match state.waiting.remove(&id) {
            Some(Waiting::Call(answer)) if !is_pong => answer,
            Some(Waiting::Ping(answer)) if is_pong => answer,
            Some(_) => return Err(format!("it answered {id} as if it were something else")),
            None if state.abandoned.remove(&id) || (1..=state.forgotten).contains(&id) => return Ok(()),
            None => return Err(format!("it answered {id}, which it was not asked, or has answered before")),
        };
        drop(state);
        // Who waited may have gone just now.
        drop(answer.send(outcome));
        Ok(())
    }

    /// Takes nothing new; what was taken is still written and answered.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.more.notify_one();
    }

    /// Answers everything that waits, and whatever comes, with `unavailable`.
    pub(super) fn end(&self, why: &Arc<str>) {
        let waiting = {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(Arc::clone(why));
            state.closing = true;
            state.queue.clear();
            std::mem::take(&mut state.waiting)
        };
        self.more.notify_one();
        for Waiting::Call(answer) | Waiting::Ping(answer) in waiting.into_values() {
            drop(answer.send(Err(self.over("has ended"))));
        }
    }

    /// Why the program answers nothing any more.
    pub(super) fn ended(&self) -> Option<Arc<str>> {
        self.state.lock().ended.clone()
    }

    /// Nobody waits for that answer any more.
    fn abandon(&self, id: u64) {
        let mut state = self.state.lock();
        let Some(waiting) = state.waiting.remove(&id) else { return };
        if let Some(at) = state.queue.iter().position(|outgoing| outgoing.id == Some(id)) {
            // It was not written, so the program knows nothing of it.
            state.queue.remove(at);
            return;
        }
        state.abandoned.insert(id);
        if state.abandoned.len() > REMEMBERED
            && let Some(oldest) = state.abandoned.pop_first()
        {
            state.forgotten = oldest;
        }
        if matches!(waiting, Waiting::Call(_))
            && let Ok(message) = protocol::cancel(id)
        {
            state.queue.push_back(Outgoing { id: None, message });
            self.more.notify_one();
        }
    }
}

/// An answer that is waited for; dropping it means that nobody does any more.
pub(super) struct Ticket {
    session: Arc<Session>,
    id: u64,
    reply: oneshot::Receiver<Result<Bytes, HostCallError>>,
}

impl Future for Ticket {
    type Output = Result<Bytes, HostCallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(cx).map(|reply| {
            // Whoever takes the sender out answers by it; this is for the case that it does not.
            reply.unwrap_or_else(|_gone| Err(self.session.over("the answer was lost")))
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.session.abandon(self.id);
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({}, {})", cut(&self.session.binding), self.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::FutureExt as _;

    use super::*;
    use crate::bindings::testing::call;

    fn session() -> Arc<Session> {
        Session::new("geo".into())
    }

    fn ask(session: &Arc<Session>) -> Ticket {
        session.submit(&call("locate", "x")).unwrap()
    }

    fn reply(id: u64, text: &'static str) -> Said {
        Said::Reply { id, outcome: Ok(Bytes::from_static(text.as_bytes())) }
    }

    /// What tells messages apart.
    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Seen {
        id: u64,
        cancel: u64,
    }

    fn written(session: &Session) -> Option<Seen> {
        let (message, _) = session.next().now_or_never()??;
        Some(rmp_serde::from_slice(&message).unwrap())
    }

    #[tokio::test]
    async fn answers_come_to_who_waits_for_them_in_any_order() {
        let session = session();
        let (first, second) = (ask(&session), ask(&session));
        assert_eq!(written(&session).unwrap(), Seen { id: 1, cancel: 0 });
        assert_eq!(written(&session).unwrap(), Seen { id: 2, cancel: 0 });
        session.take(reply(2, "two")).unwrap();
        session.take(reply(1, "one")).unwrap();
        assert_eq!((first.await.unwrap(), second.await.unwrap()), (Bytes::from("one"), Bytes::from("two")));
    }

    #[test]
    fn answers_to_nothing_are_wrong() {
        let session = session();
        assert!(session.take(reply(1, "")).unwrap_err().starts_with("it answered 1, which it was not asked"));
        let _ticket = ask(&session);
        written(&session);
        session.take(reply(1, "")).unwrap();
        assert!(session.take(reply(1, "")).unwrap_err().ends_with("or has answered before"));
        assert!(session.take(Said::Pong(0)).is_err());
        let _ping = session.ping().unwrap();
        assert!(session.take(reply(2, "")).unwrap_err().contains("something else"));
        assert!(session.take(Said::Ready { operations: None }).is_err());
    }

    #[test]
    fn what_nobody_waits_for_is_cancelled_if_it_was_written_and_may_still_be_answered_once() {
        let session = session();
        let (first, second) = (ask(&session), ask(&session));
        written(&session);
        drop((first, second));
        assert_eq!(written(&session).unwrap(), Seen { id: 0, cancel: 1 });
        assert_eq!(written(&session), None);
        session.take(reply(1, "late")).unwrap();
        assert!(session.take(reply(1, "again")).is_err());
        assert!(session.take(reply(2, "never asked")).is_err());
    }

    #[test]
    fn what_is_remembered_of_cancelled_requests_is_bounded() {
        let session = session();
        for _ in 0..REMEMBERED + 2 {
            let ticket = ask(&session);
            written(&session);
            drop(ticket);
            written(&session);
        }
        let state = session.state.lock();
        assert_eq!((state.abandoned.len(), state.forgotten, state.queue.len()), (REMEMBERED, 2, 0));
        drop(state);
        session.take(reply(1, "very late")).unwrap();
    }

    #[tokio::test]
    async fn the_end_answers_everything_at_once() {
        let session = session();
        let (waiting, ping) = (ask(&session), session.ping().unwrap());
        session.end(&"exit code 3".into());
        let error = "unavailable: the program of binding `geo` has ended";
        assert_eq!(waiting.await.unwrap_err().to_string(), error);
        assert_eq!(ping.await.unwrap_err().to_string(), error);
        assert_eq!(session.submit(&call("locate", "x")).unwrap_err().to_string(), error);
        assert!(session.next().await.is_none());
    }

    #[tokio::test]
    async fn what_was_taken_before_a_stop_is_still_written_and_answered() {
        let session = session();
        let waiting = ask(&session);
        session.close();
        assert!(session.submit(&call("locate", "x")).unwrap_err().to_string().ends_with("is being stopped"));
        assert!(written(&session).is_some() && session.next().await.is_none());
        session.take(reply(1, "done")).unwrap();
        assert_eq!(waiting.await.unwrap(), Bytes::from("done"));
    }

    #[test]
    fn operations_that_the_program_does_not_name_are_not_sent() {
        let session = session();
        session.ready(Some(vec!["reverse".to_owned(), "locate".to_owned()]));
        ask(&session);
        let error = session.submit(&call("fly", "x")).unwrap_err().to_string();
        assert_eq!(error, "no_such_operation: binding `geo` has no operation `fly`: locate, reverse");
    }
}
