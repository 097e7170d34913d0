//! Errands: what a guest's host call leaves to be done once the guest has left its stack, before anything else on its thread.
//!
//! An answer that is to be had on the guest's own thread needs no other task, and the stack of a guest is not the place for
//! it: whoever polls the guest does the errand between two looks at it.

use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll},
};

/// Errands in one look at a guest, after which others on its thread run: as many host calls as a run has calls. Half of it
/// gives way more often than small host calls are worth; twice as many hold up the neighbours visibly.
const A_LOOK: u32 = 16;

/// Work for whoever polls the guest.
pub(crate) type Errand = Box<dyn FnOnce()>;

thread_local! {
    static ERRAND: RefCell<State> = const { RefCell::new(State::Unattended) };
}

/// What the guest that is being polled on this thread has left.
enum State {
    /// Nobody polls a guest.
    Unattended,
    /// Somebody does, and looks here afterwards.
    Nothing,
    Left(Errand),
}

/// Whether somebody on this thread polls a guest and would do an errand.
pub(crate) fn is_attended() -> bool {
    ERRAND.with_borrow(|errand| !matches!(errand, State::Unattended))
}

/// Leaves work to whoever polls the guest. Where nobody does, it is dropped: ask [`is_attended`] first.
pub(crate) fn leave(errand: Errand) {
    ERRAND.with_borrow_mut(|state| {
        if !matches!(state, State::Unattended) {
            *state = State::Left(errand);
        }
    });
}

/// Attention to errands for as long as this lives; what was before comes back then, also where a poll panics.
struct Attention(State);

impl Attention {
    fn begin() -> Self {
        Self(ERRAND.replace(State::Nothing))
    }

    fn errand(&self) -> Option<Errand> {
        match ERRAND.replace(State::Nothing) {
            State::Left(errand) => Some(errand),
            State::Unattended | State::Nothing => None,
        }
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        ERRAND.replace(std::mem::replace(&mut self.0, State::Unattended));
    }
}

/// A guest whose errands are done.
pub(super) struct Attended<F>(pub(super) F);

impl<F: Future + Unpin> Future for Attended<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        for _ in 0..A_LOOK {
            let attention = Attention::begin();
            let polled = Pin::new(&mut self.0).poll(cx);
            let errand = attention.errand();
            drop(attention);
            match (polled, errand) {
                // The guest can go on at once, most likely.
                (Poll::Pending, Some(errand)) => errand(),
                (polled, _) => return polled,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        future::poll_fn,
        pin::pin,
        rc::Rc,
        task::{Context, Poll, Waker},
    };

    use super::*;

    /// A guest that has so many errands, one after the other, and counts those that were done.
    fn guest(errands: u32, done: &Rc<Cell<u32>>) -> impl Future<Output = ()> + Unpin + use<> {
        let done = Rc::clone(done);
        poll_fn(move |_| {
            assert!(is_attended());
            if done.get() == errands {
                return Poll::Ready(());
            }
            let done = Rc::clone(&done);
            leave(Box::new(move || done.set(done.get() + 1)));
            Poll::Pending
        })
    }

    #[test]
    fn errands_are_done_between_two_looks_at_the_guest() {
        let done = Rc::default();
        let polled = pin!(Attended(guest(3, &done))).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!((polled, done.get()), (Poll::Ready(()), 3));
        assert!(!is_attended());
    }

    #[test]
    fn a_guest_with_errands_without_end_lets_others_run() {
        let done = Rc::default();
        let mut guest = pin!(Attended(guest(A_LOOK + 1, &done)));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!((guest.as_mut().poll(&mut cx), done.get()), (Poll::Pending, A_LOOK));
        assert_eq!((guest.as_mut().poll(&mut cx), done.get()), (Poll::Ready(()), A_LOOK + 1));
    }

    #[test]
    fn what_is_left_where_nobody_looks_is_dropped() {
        let kept = Rc::new(());
        let errand = Rc::clone(&kept);
        leave(Box::new(move || drop(errand)));
        assert_eq!(Rc::strong_count(&kept), 1);
    }
}
