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

use super::life::Life;

/// A request that is being answered, until its answer was taken.
pub(super) struct Busy {
    life: Rc<RefCell<Life>>,
    answer: Option<u64>,
}

impl Busy {
    /// A request has come.
    pub(super) fn begin(life: &Rc<RefCell<Life>>) -> Self {
        life.borrow_mut().begin();
        Self { life: Rc::clone(life), answer: None }
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
}

impl<B: Body> Asked<B> {
    pub(super) fn new(body: B, life: Option<&Rc<RefCell<Life>>>) -> Self {
        let life = life.filter(|_| !body.is_end_stream()).map(Rc::clone);
        Self { body, life }
    }
}

impl<B: Body + Unpin> Body for Asked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.life = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
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
