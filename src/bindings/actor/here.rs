//! The binding actors of this thread: a guest on it is answered without a message.
//!
//! What the supervisor says still comes as messages. Actor and guests take turns on their thread, so a host call finds the
//! actor between two of those, as one that came by its mailbox would.

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    rc::{Rc, Weak},
};

use actix::{Addr, Recipient};
use tokio::sync::oneshot;

use super::{BindingActor, state::State};
use crate::{
    bindings::{BindingCall, BindingReply},
    host::errand,
};

thread_local! {
    static HERE: RefCell<HashMap<Place, Weak<State>>> = RefCell::default();
}

/// Tells the address of a binding actor from those of all others that live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place(u64);

impl Place {
    /// The place of that address.
    pub(crate) fn of(address: &Recipient<BindingCall>) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// An actor of this thread, for a guest that is being polled on it.
pub(crate) struct Neighbour(Rc<State>);

impl Neighbour {
    /// The actor at that place; `None` where it lives elsewhere, or nobody polls a guest: it is asked by its mailbox then.
    pub(crate) fn at(place: Place) -> Option<Self> {
        let state = || HERE.with_borrow(|here| here.get(&place).and_then(Weak::upgrade));
        errand::is_attended().then(state).flatten().map(Self)
    }

    /// Asks it as soon as the guest waits.
    pub(crate) fn ask(self, call: BindingCall) -> oneshot::Receiver<BindingReply> {
        let (tx, rx) = oneshot::channel();
        errand::leave(Box::new(move || State::take(&self.0, call).send(Some(tx))));
        rx
    }
}

/// An actor lives here from now on; forgets those that have gone.
pub(super) fn enter(address: Addr<BindingActor>, state: &Rc<State>) {
    HERE.with_borrow_mut(|here| {
        here.retain(|_, state| state.strong_count() > 0);
        here.insert(Place::of(&address.recipient()), Rc::downgrade(state));
    });
}
