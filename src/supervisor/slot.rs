//! The place of one instance of a module, and what is in it.

use std::{sync::Arc, time::Instant};

use actix::Addr;
use futures_util::future::AbortHandle;

use crate::actors::{GuestActor, InstanceFacts, Links};

/// The place of one instance.
pub(super) struct Slot {
    pub(super) worker: usize,
    pub(super) state: SlotState,
    /// Generation of what is there, starting or live.
    pub(super) generation: u64,
    /// When the module was opened for it.
    pub(super) opening: u64,
    /// Health checks of the instance that have failed in a row.
    pub(super) sick: u32,
}

impl Slot {
    /// An empty place on a worker.
    pub(super) fn on(worker: usize) -> Self {
        Self { worker, state: SlotState::Empty, generation: 0, opening: 0, sick: 0 }
    }
}

/// What is in a place.
pub(super) enum SlotState {
    Empty,
    /// Nothing, until a restart at this time.
    Backoff(Instant),
    /// The instance with this id is being started, and its start can be ended.
    Starting(u64, AbortHandle),
    /// It takes calls.
    Live(Live),
    /// It finishes its call and makes way for a fresh one.
    Leaving(Live),
}

/// An instance that takes calls.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) addr: Addr<GuestActor>,
    pub(super) facts: Arc<InstanceFacts>,
    /// The way of its guest to bindings.
    pub(super) links: Arc<Links>,
}

impl SlotState {
    /// Whether this is the instance, starting or live.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id() == Some(id)
    }

    /// Whether nothing is there and nothing is waited for.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Id of the instance that is there, starting or live.
    pub(super) fn id(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Backoff(_) => None,
            Self::Starting(id, _) => Some(*id),
            Self::Live(live) | Self::Leaving(live) => Some(live.id),
        }
    }

    /// The instance that is there, where it takes calls or finishes one.
    pub(super) fn live(&self) -> Option<&Live> {
        match self {
            Self::Live(live) | Self::Leaving(live) => Some(live),
            Self::Empty | Self::Backoff(_) | Self::Starting(..) => None,
        }
    }
}
