//! How large the pool of instances is, and whether the kernel can bear it.
//!
//! Each instance takes memory mappings, and a process that runs into the kernel's bound on them is aborted by whoever
//! asks next. So the count is estimated before anything is mapped, and what does not fit is refused.

use std::{fs, iter::Sum, num::NonZeroU64};

use thiserror::Error;
use wasmtime::PoolingAllocationConfig;

use super::EngineSettings;

/// Mappings of a stack in the pool, taken when the engine is made: the stack and its guard page.
const PER_STACK: u64 = 2;

/// Mappings of a live instance: the stack below its data, its data, its heap behind them, and the address space behind
/// that. Counted in `/proc/self/maps`: Rust and Zig guests have all 4, C and AssemblyScript guests begin with data and
/// have 3; tables add none. They stay with the pool when the instance ends.
const PER_INSTANCE: u64 = 4;

/// Share of the kernel's bound that an engine may plan with, in percent. The rest is for code, threads, databases and
/// the allocator, whose needs nobody can plan.
const USABLE_PERCENT: u64 = 80;

/// The kernel's default for `vm.max_map_count`, where it cannot be read.
const DEFAULT_MAX_MAP_COUNT: u64 = 65_530;

/// Address space for memories, of the 128 TiB that a process has.
const ADDRESS_SPACE: u64 = 64 << 40;

/// Address space of one memory that lets the compiler leave out all bounds checks.
const FULL_RESERVATION: u64 = 4 << 30;

/// Largest number of elements in one table: 8 bytes of address space each, per instance. Real guests have thousands.
pub(super) const MAX_TABLE_ELEMENTS: u32 = 1 << 20;

/// Tables of one instance. Rust, Go and AssemblyScript make one.
const TABLES_PER_INSTANCE: u32 = 4;

/// How many memory mappings an engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MappingLimit {
    /// 80 % of `vm.max_map_count`, less what the process uses already and what the engines beside it will still use.
    OfKernel,
    /// This many, together with the engines beside it.
    Fixed(NonZeroU64),
}

/// So many instances would need more mappings than a process may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "{instances} instances need about {needed} memory mappings, but only {usable} can be used; \
     raise the sysctl vm.max_map_count to at least {} or configure fewer instances", self.sysctl()
)]
pub struct TooManyMappings {
    /// The instances that were asked for.
    pub instances: u32,
    /// The mappings that they need.
    pub needed: u64,
    /// The mappings that can be used.
    pub usable: u64,
    /// The mappings that the process has already, and those that its engines will take when all of their instances live.
    pub used: u64,
}

impl TooManyMappings {
    /// The value of `vm.max_map_count` that would do.
    #[must_use]
    pub fn sysctl(&self) -> u64 {
        (self.needed + self.used) * 100 / USABLE_PERCENT + 1
    }
}

/// Mappings that engines have planned with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// All of them.
    all: u64,
    /// Those that will be made when an instance lives where none has lived yet.
    to_come: u64,
}

impl Planned {
    /// Those of an engine of so many instances, of whose places so many have been lived in.
    pub(super) fn new(instances: u32, lived_in: u64) -> Self {
        let instances = u64::from(instances);
        Self { all: needed(instances), to_come: instances.saturating_sub(lived_in) * PER_INSTANCE }
    }
}

impl Sum for Planned {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let add = |sum: Self, one: Self| Self { all: sum.all + one.all, to_come: sum.to_come + one.to_come };
        all.fold(Self::default(), add)
    }
}

fn needed(instances: u64) -> u64 {
    instances * (PER_STACK + PER_INSTANCE)
}

/// Refuses settings whose instances would not fit beside those of other engines. A pool maps what an instance needs when
/// it first lives, so what the process has mapped is not all that it will have.
pub(super) fn check(settings: &EngineSettings, others: Planned) -> Result<(), TooManyMappings> {
    let used = used_mappings() + others.to_come;
    let usable = match settings.mappings {
        MappingLimit::Fixed(count) => count.get().saturating_sub(others.all),
        MappingLimit::OfKernel => (max_map_count() * USABLE_PERCENT / 100).saturating_sub(used),
    };
    let needed = needed(u64::from(settings.instances));
    if needed > usable {
        return Err(TooManyMappings { instances: settings.instances, needed, usable, used });
    }
    Ok(())
}

/// The pool for so many instances.
pub(super) fn config(settings: &EngineSettings) -> PoolingAllocationConfig {
    let count = settings.instances.max(1);
    let memory = usize::try_from(reservation(count).min(FULL_RESERVATION)).unwrap_or(usize::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(count)
        .total_memories(count)
        .total_tables(count.saturating_mul(TABLES_PER_INSTANCE))
        // A store keeps its stack after its first call, so there is one for each instance.
        .total_stacks(count)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES_PER_INSTANCE)
        // Limits are per module and enforced by the store; the pool only reserves address space.
        .max_memory_size(memory)
        .table_elements(MAX_TABLE_ELEMENTS as usize)
        // Slots go back clean: what a guest touched is given back to the kernel when its instance ends.
        .max_unused_warm_slots(count);
    pool
}

/// Address space of one memory, in bytes: 4 GiB, or less where so many would not fit.
pub(super) fn reservation(instances: u32) -> u64 {
    let fair = ADDRESS_SPACE / u64::from(instances.max(1));
    // Whole pages of wasm.
    fair.min(FULL_RESERVATION) & !0xffff
}

fn max_map_count() -> u64 {
    fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAX_MAP_COUNT)
}

fn used_mappings() -> u64 {
    fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_and_not_yet_mapped_shrinks_as_instances_live() {
        let planned = |instances, lived_in| {
            let planned = Planned::new(instances, lived_in);
            (planned.all, planned.to_come)
        };
        assert_eq!(planned(100, 0), (600, 400));
        assert_eq!(planned(100, 30), (600, 280));
        assert_eq!(planned(100, 100), (600, 0));
        assert_eq!(planned(100, 101), (600, 0), "counted while an instance moved from one list to the other");
        let sum: Planned = [Planned::new(1, 0), Planned::new(2, 1)].into_iter().sum();
        assert_eq!((sum.all, sum.to_come), (18, 8));
    }
}
