//! The places of a module: as many as instances are wanted, and what is done to all that is in them.

use super::ModuleChild;
use crate::{
    actors::{How, Leave},
    supervisor::slot::{Live, Slot, SlotState},
};

impl ModuleChild {
    /// Makes as many places as instances are wanted; those that are too many make way.
    pub(in crate::supervisor) fn fit_slots(&mut self, next_worker: &mut usize, workers: usize) {
        let wanted = self.config.instances.count(workers);
        while self.slots.len() < wanted {
            self.slots.push(Slot::on(*next_worker % workers.max(1)));
            *next_worker += 1;
        }
        for slot in self.slots.iter_mut().skip(wanted) {
            match &slot.state {
                SlotState::Live(live) => {
                    live.addr.do_send(Leave::from(How::AfterCall));
                    slot.state = SlotState::Leaving(live.clone());
                }
                SlotState::Starting(_, abort) => abort.abort(),
                SlotState::Backoff(_) => slot.state = SlotState::Empty,
                SlotState::Empty | SlotState::Leaving(_) => {}
            }
        }
        self.spare_from = wanted;
        self.drop_last();
    }

    /// Gives up an empty place that is one too many; `false` where it is not.
    pub(in crate::supervisor) fn drop_spare(&mut self, slot: usize) -> bool {
        let spare = slot >= self.spare_from;
        self.drop_last();
        spare
    }

    /// Gives up those at the end that are empty and too many.
    fn drop_last(&mut self) {
        while self.slots.len() > self.spare_from && self.slots.last().is_some_and(|slot| slot.state.is_empty()) {
            self.slots.pop();
        }
    }

    /// Whether no instance is starting or live.
    pub(in crate::supervisor) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.state.id().is_none())
    }

    /// The instances that are live.
    pub(in crate::supervisor) fn live(&self) -> impl Iterator<Item = &Live> {
        self.slots.iter().filter_map(|slot| slot.state.live())
    }

    /// Ends starts that are under way, and restarts that wait.
    pub(in crate::supervisor) fn abort_starts(&mut self) {
        for slot in &mut self.slots {
            match &slot.state {
                SlotState::Starting(_, abort) => abort.abort(),
                SlotState::Backoff(_) => slot.state = SlotState::Empty,
                SlotState::Empty | SlotState::Live(_) | SlotState::Leaving(_) => {}
            }
        }
    }

    /// Ends starts that are under way, which are made again.
    pub(in crate::supervisor) fn abort_starting(&self) {
        for slot in &self.slots {
            if let SlotState::Starting(_, abort) = &slot.state {
                abort.abort();
            }
        }
    }

    /// Notes that the live instances make way, so that the module counts as settled only when fresh ones are live.
    pub(in crate::supervisor) fn mark_leaving(&mut self) {
        for slot in &mut self.slots {
            if let SlotState::Live(live) = &slot.state {
                slot.state = SlotState::Leaving(live.clone());
            }
        }
    }
}
