//! Who may call, swap or roll back: so many at one time over the control API, and no module more than half of them.
//!
//! Each may hold a payload or a module's code and holds a connection, so the whole is bounded; and a module that hangs takes
//! half of it at most, so that what others are asked still gets through.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::problem::{Kind, Problem};

/// The places for one kind of request.
#[derive(Debug)]
pub(super) struct Slots {
    /// What takes them, as `calls`.
    kind: &'static str,
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Modules that have some now; those without are not here, so that names out of requests do not pile up.
    by_module: HashMap<String, usize>,
}

/// The place of one request; dropping it makes room.
#[derive(Debug)]
#[must_use = "the place is free again when this is dropped"]
pub(super) struct Slot {
    slots: Arc<Slots>,
    module: String,
}

impl Slots {
    /// Makes so many places for requests of a kind, as `calls`.
    pub(super) fn new(all: usize, kind: &'static str) -> Arc<Self> {
        Arc::new(Self { kind, all, taken: Mutex::default() })
    }

    /// What one module may have: half, and always one.
    fn per_module(&self) -> usize {
        (self.all / 2).max(1)
    }

    /// Takes a place for a request about that module.
    ///
    /// # Errors
    /// A problem that says whether all places are taken or all of the module's.
    pub(super) fn take(self: &Arc<Self>, module: &str) -> Result<Slot, Problem> {
        let mut taken = self.taken.lock();
        let of_module = taken.by_module.get(module).copied().unwrap_or_default();
        if taken.all >= self.all {
            return Err(busy(format!("{} {} of the control API are waiting already", self.all, self.kind)));
        }
        if of_module >= self.per_module() {
            return Err(busy(format!(
                "{of_module} {} of the control API wait for module `{module}` already, and one module may have no more",
                self.kind
            )));
        }
        taken.all += 1;
        taken.by_module.insert(module.to_owned(), of_module + 1);
        Ok(Slot { slots: self.clone(), module: module.to_owned() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        taken.all -= 1;
        if let Some(count) = taken.by_module.get_mut(&self.module) {
            *count -= 1;
            if *count == 0 {
                taken.by_module.remove(&self.module);
            }
        }
    }
}

/// A refusal that will not last.
pub(super) fn busy(detail: String) -> Problem {
    let mut problem = Problem::new(Kind::Busy, detail);
    problem.facts.retry_after_s = Some(1);
    problem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_module_gets_half_of_the_places_and_others_the_rest() {
        let slots = Slots::new(4, "calls");
        let first: Vec<_> = (0..2).map(|_| slots.take("a").unwrap()).collect();
        assert!(slots.take("a").unwrap_err().detail.contains("module `a`"));
        let rest: Vec<_> = ["b", "c"].iter().map(|module| slots.take(module).unwrap()).collect();
        assert_eq!(slots.take("d").unwrap_err().detail, "4 calls of the control API are waiting already");
        drop(first);
        let again = slots.take("a").unwrap();
        drop((rest, again));
        assert!(slots.taken.lock().by_module.is_empty() && slots.taken.lock().all == 0);
    }

    #[test]
    fn a_single_place_may_be_taken_by_anybody() {
        let slots = Slots::new(1, "swaps");
        let taken = slots.take("a").unwrap();
        assert_eq!(slots.take("b").unwrap_err().facts.retry_after_s, Some(1));
        drop(taken);
        drop(slots.take("b").unwrap());
    }
}
