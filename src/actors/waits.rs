//! Who waits for whom: the calls from module to module that are under way, and whether one more would wait for itself.
//!
//! An instance that called another module waits until that call has ended. It waits for the instance that took the
//! call or, while the call is queued, for any instance of the module. If following these waits from a module leads to
//! no instance that is free to go on, a call to it would never be answered.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// All waits of a daemon.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<HashMap<u64, Wait>>);

/// One instance that waits for a module.
#[derive(Debug, Clone)]
struct Wait {
    /// The module that waits.
    module: Arc<str>,
    /// The module that was called.
    target: Arc<str>,
    /// The instance that has the call; 0 while it is queued.
    taken_by: Arc<AtomicU64>,
}

/// Takes a wait back when the call has ended.
#[derive(Debug)]
pub(super) struct WaitGuard<'a> {
    waits: &'a Waits,
    instance: u64,
    /// Where the call's way is noted: the instance that has it.
    pub(super) taken_by: Arc<AtomicU64>,
}

impl Waits {
    /// Notes that `instance` of `module` waits for `target`, unless that would close a cycle: then the cycle's path.
    ///
    /// `members` names the live instances of a module.
    pub(super) fn enter(
        &self,
        (module, instance): (&Arc<str>, u64),
        target: &Arc<str>,
        members: impl Fn(&str) -> Vec<u64>,
    ) -> Result<WaitGuard<'_>, String> {
        let taken_by = Arc::new(AtomicU64::new(0));
        let wait = Wait { module: Arc::clone(module), target: Arc::clone(target), taken_by: Arc::clone(&taken_by) };
        let mut waits = self.0.lock();
        waits.insert(instance, wait);
        if !(Search { waits: &waits, members: &members, seen: HashSet::new() }).module(target) {
            let path = path(&waits, instance, &members);
            waits.remove(&instance);
            return Err(path);
        }
        Ok(WaitGuard { waits: self, instance, taken_by })
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.waits.0.lock().remove(&self.instance);
    }
}

/// Follows waits to an instance that is free to go on.
struct Search<'a, M> {
    waits: &'a HashMap<u64, Wait>,
    members: &'a M,
    /// Instances on the way, or known to be stuck.
    seen: HashSet<u64>,
}

impl<M: Fn(&str) -> Vec<u64>> Search<'_, M> {
    /// Whether some instance of the module can end its call. One without instances refuses or is being started; then
    /// the instances whose start functions wait decide.
    fn module(&mut self, module: &str) -> bool {
        let mut members = (self.members)(module);
        if members.is_empty() {
            members = self.waits.iter().filter(|(_, wait)| &*wait.module == module).map(|(id, _)| *id).collect();
        }
        members.is_empty() || members.into_iter().any(|member| self.instance(member))
    }

    fn instance(&mut self, instance: u64) -> bool {
        let Some(wait) = self.waits.get(&instance) else { return true };
        if !self.seen.insert(instance) {
            return false;
        }
        match wait.taken_by.load(Ordering::SeqCst) {
            0 => self.module(&wait.target),
            taken_by => self.instance(taken_by),
        }
    }
}

/// The modules from the waiting instance on until one comes again, as `A → B → A`.
fn path(waits: &HashMap<u64, Wait>, from: u64, members: &impl Fn(&str) -> Vec<u64>) -> String {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut instance = from;
    while let Some(wait) = waits.get(&instance) {
        let again = names.contains(&wait.module);
        names.push(Arc::clone(&wait.module));
        if again {
            break;
        }
        let taken_by = wait.taken_by.load(Ordering::SeqCst);
        let queued = || {
            let starting = || waits.iter().find(|(_, other)| other.module == wait.target).map(|(id, _)| *id);
            members(&wait.target).first().copied().or_else(starting)
        };
        let next = if taken_by == 0 { queued() } else { Some(taken_by) };
        let Some(next) = next else { break };
        instance = next;
    }
    names.join(" → ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A: instance 1; B: instance 2; W (wide): instances 3 and 4; N: none.
    fn members(module: &str) -> Vec<u64> {
        match module {
            "A" => vec![1],
            "B" => vec![2],
            "W" => vec![3, 4],
            _ => Vec::new(),
        }
    }

    fn enter<'a>(waits: &'a Waits, module: &str, instance: u64, target: &str) -> Result<WaitGuard<'a>, String> {
        waits.enter((&Arc::from(module), instance), &Arc::from(target), members)
    }

    #[test]
    fn two_chains_that_lock_each_other_are_a_cycle_for_the_later_one() {
        let waits = Waits::default();
        let _first = enter(&waits, "A", 1, "B").unwrap();
        assert_eq!(enter(&waits, "B", 2, "A").unwrap_err(), "B → A → B");
    }

    #[test]
    fn a_wait_that_has_ended_closes_nothing() {
        let waits = Waits::default();
        drop(enter(&waits, "A", 1, "B").unwrap());
        enter(&waits, "B", 2, "A").unwrap();
    }

    #[test]
    fn a_free_instance_of_the_target_keeps_the_way_open() {
        let waits = Waits::default();
        let _one = enter(&waits, "W", 3, "A").unwrap();
        // Instance 4 is free, so W can still answer.
        let _two = enter(&waits, "A", 1, "W").unwrap();
    }

    #[test]
    fn a_call_that_a_stuck_instance_has_taken_does_not_wait_for_its_free_sibling() {
        let waits = Waits::default();
        let one = enter(&waits, "A", 1, "W").unwrap();
        one.taken_by.store(3, Ordering::SeqCst);
        assert_eq!(enter(&waits, "W", 3, "A").unwrap_err(), "W → A → W");
    }

    #[test]
    fn a_module_that_is_being_started_is_waited_for() {
        let waits = Waits::default();
        enter(&waits, "A", 1, "N").unwrap();
    }

    #[test]
    fn a_start_function_that_waits_for_a_module_which_calls_the_starting_one_is_a_cycle() {
        let waits = Waits::default();
        let _start = enter(&waits, "N", 9, "B").unwrap();
        assert_eq!(enter(&waits, "B", 2, "N").unwrap_err(), "B → N → B");
    }

    #[test]
    fn a_module_calling_itself_with_its_only_instance_is_a_cycle() {
        let waits = Waits::default();
        assert_eq!(enter(&waits, "A", 1, "A").unwrap_err(), "A → A");
    }
}
