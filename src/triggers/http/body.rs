//! Bodies of requests and answers, which tell the life of their connection what becomes of them.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::{connections::Held, life::Life};
use crate::host::BoxError;

/// A request that is being answered, until its answer was taken.
pub(super) struct Busy {
    life: Rc<RefCell<Life>>,
    held: Rc<Held>,
    answer: Option<u64>,
}

impl Busy {
    /// A request has come.
    pub(super) fn begin(life: &Rc<RefCell<Life>>, held: Held) -> Self {
        life.borrow_mut().begin();
        Self { life: Rc::clone(life), held: Rc::new(held), answer: None }
    }

    /// What its bodies hold.
    pub(super) fn held(&self) -> &Rc<Held> {
        &self.held
    }

    /// Its answer is handed over.
    pub(super) fn answered(mut self, now: impl FnOnce() -> Instant) -> Self {
        self.answer = self.life.borrow_mut().answer(now);
        self
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.life.borrow_mut().end(self.answer);
    }
}

/// The body of an answer.
pub(super) struct Answer {
    body: Full<Bytes>,
    _busy: Busy,
}

impl Answer {
    pub(super) fn new(body: Full<Bytes>, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = <Full<Bytes> as Body>::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request.
pub(super) struct Asked<B: Body> {
    body: B,
    /// Whom to tell that it was left before its end; `None`: nobody cares, because other requests go on beside it.
    life: Option<Rc<RefCell<Life>>>,
    held: Rc<Held>,
    /// Bytes that its worker has room for.
    room: u64,
    /// Whether there is no room for the request, whatever its body has.
    crowded: bool,
}

/// The bodies of other requests, and answers that are not taken, leave no room for this one.
#[derive(Debug, thiserror::Error)]
#[error("the bodies of other requests and their answers leave no room")]
pub(super) struct NoRoom;

impl<B: Body> Asked<B> {
    pub(super) fn new(body: B, life: Option<&Rc<RefCell<Life>>>, held: &Rc<Held>, room: u64) -> Self {
        let life = life.filter(|_| !body.is_end_stream()).map(Rc::clone);
        life.iter().for_each(|life| life.borrow_mut().receive());
        Self { body, life, held: Rc::clone(held), room, crowded: !held.grow(0, room) }
    }
}

impl<B> Body for Asked<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.crowded {
            return Poll::Ready(Some(Err(NoRoom.into())));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx)).map(|frame| frame.map_err(Into::into));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map(Bytes::len);
        if bytes.is_some_and(|bytes| !self.held.grow(bytes as u64, self.room)) {
            return Poll::Ready(Some(Err(NoRoom.into())));
        }
        if (frame.is_none() || self.body.is_end_stream())
            && let Some(life) = self.life.take()
        {
            life.borrow_mut().received();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        !self.crowded && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for Asked<B> {
    fn drop(&mut self) {
        if let Some(life) = &self.life {
            life.borrow_mut().leave_unread();
        }
    }
}
