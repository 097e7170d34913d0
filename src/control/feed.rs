//! `GET /v1/events`: what happened, as a list, or as a stream that goes on with what happens.
//!
//! A follower has no buffer: it remembers the number of the last event that it was sent and reads on in the log, which is
//! bounded. One that is too slow for the log is told how many it has missed. It ends when its client goes or when the
//! server stops.

use std::convert::Infallible;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    problem::Problem,
    query::{self, wrong},
    routes::{Api, json},
    slots::busy,
};
use crate::supervisor::events::{Event, Events};

/// Media type of a stream of events: a JSON document a line.
pub const LINES: &str = "application/x-ndjson";

/// Events that are put into one piece of a stream. Each may have some 10 KiB, and a piece is all that a follower holds.
const PIECE: usize = 16;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    after: u64,
    limit: usize,
    follow: bool,
}

/// Answers with the events that are kept, or with a stream.
pub(super) async fn events(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::parse(request.query_string())?;
    let events = api.daemon.events();
    let last = *events.last().borrow();
    if wanted.after > last {
        return Err(wrong("after", &wanted.after.to_string(), &format!("the last event has the number {last}")));
    }
    if !wanted.follow {
        return json(&events.after(wanted.after, wanted.limit));
    }
    let permit = api.followers.clone().try_acquire_owned();
    let permit =
        permit.map_err(|_full| busy(format!("{} clients follow the events already", api.settings.followers)))?;
    let follower = Follower {
        recorded: events.last(),
        events,
        seq: wanted.after,
        left: wanted.limit,
        stopping: api.stopping.clone(),
        _permit: permit,
    };
    Ok(HttpResponse::Ok().content_type(LINES).streaming(stream::unfold(follower, Follower::next)))
}

/// A client that is told of every event.
struct Follower {
    events: Events,
    recorded: watch::Receiver<u64>,
    /// Number of the last event that was sent or is known to be lost.
    seq: u64,
    /// Events that are still wanted.
    left: usize,
    stopping: watch::Receiver<bool>,
    /// One of the places for followers.
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece of the stream; `None` ends it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            // Both before the log is read, so that an event between that and the wait is not slept through, and what
            // happened before the stop is still told.
            self.recorded.mark_unchanged();
            let stopping = *self.stopping.borrow_and_update();
            let piece = self.events.after(self.seq, PIECE.min(self.left));
            if let Some(last) = piece.last() {
                let (seq, count) = (last.seq, piece.len());
                let text = self.lines(&piece);
                self.seq = seq;
                self.left -= count;
                return Some((Ok(text), self));
            }
            if stopping || self.left == 0 {
                return None;
            }
            tokio::select! {
                // The log lives as long as this follower, which has a part of it.
                _ = self.recorded.changed() => {}
                // A server that is gone stops as well.
                changed = self.stopping.changed() => if changed.is_err() { return None },
            }
        }
    }

    fn lines(&self, piece: &[Event]) -> Bytes {
        let mut text = Vec::new();
        // Numbers have no gaps: one that is missing was pushed out of the log. Who asks for all wants all that is kept.
        let lost = piece.first().map_or(0, |first| first.seq - self.seq - 1);
        if lost > 0 && self.seq > 0 {
            text.extend_from_slice(json!({ "lost": lost }).to_string().as_bytes());
            text.push(b'\n');
        }
        for event in piece {
            // Texts, numbers and lists of them always have a JSON form.
            text.extend_from_slice(&serde_json::to_vec(event).unwrap_or_default());
            text.push(b'\n');
        }
        text.into()
    }
}

impl Wanted {
    fn parse(query: &str) -> Result<Self, Problem> {
        let mut wanted = Self { after: 0, limit: usize::MAX, follow: false };
        for (name, value) in query::pairs(query)? {
            match name.as_str() {
                "after" => wanted.after = query::number(&name, &value)?,
                "limit" => wanted.limit = usize::try_from(query::number(&name, &value)?).unwrap_or(usize::MAX),
                "follow" => wanted.follow = query::flag(&name, &value)?,
                _ => return Err(query::unknown(&name, "there are `after`, `limit` and `follow`")),
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn parameters_have_defaults_and_wrong_ones_are_named() {
        assert_eq!(Wanted::parse("").unwrap(), Wanted { after: 0, limit: usize::MAX, follow: false });
        let all = Wanted::parse("after=7&limit=2&follow=true").unwrap();
        assert_eq!(all, Wanted { after: 7, limit: 2, follow: true });
        for (query, named) in [
            ("after=-1", "`after` cannot be `-1`"),
            ("after=", "`after` cannot be ``"),
            ("limit=many", "`limit` cannot be `many`"),
            ("limit=99999999999999999999", "`limit`"),
            ("follow=yes", "`follow` cannot be `yes`"),
            ("since=3", "no parameter `since`"),
        ] {
            let problem = Wanted::parse(query).unwrap_err();
            assert!(problem.status == 400 && problem.detail.contains(named), "{query}: {problem}");
        }
    }
}
