//! The metrics of the daemon and its parts. `docs/control.md` lists them; a test holds the two together.
//!
//! Labels are bounded by the configuration: names of modules, bindings, triggers, groups and operations of bindings, places of
//! instances, and states, reasons and outcomes from fixed lists. Ids of instances and calls are in no label. No label is
//! called `instance`: that is what a scraper calls the daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{
    family::{Family, Labels},
    process::Process,
    triggers,
};
use crate::supervisor::status::{
    BACKEND_STATES, BindingStatus, GenerationOrigin, GroupState, GroupStatus, ModuleState, ModuleStatus, ServiceState,
    Status, WorkerState, WorkerStatus,
};

/// Reasons that restarts are counted under from the start, so that the first of a kind is an increase and no new series.
pub(super) const REASONS: [&str; 11] = [
    "backend_ended",
    "binding_ended",
    "deadline_exceeded",
    "ended",
    "exited",
    "limit_exceeded",
    "load_failed",
    "panicked",
    "start_failed",
    "trapped",
    "unhealthy",
];

/// The daemon at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) status: Status,
    /// When the daemon started, in seconds since the Unix epoch.
    pub(super) started: f64,
    pub(super) process: Process,
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        self.daemon(encoder)?;
        self.configuration(encoder)?;
        workers(encoder, &self.status.workers)?;
        calls(encoder, &self.status.modules)?;
        modules(encoder, &self.status.modules)?;
        bindings(encoder, &self.status.bindings)?;
        triggers::triggers(encoder, &self.status.triggers)?;
        groups(encoder, &self.status.groups)
    }
}

impl Snapshot {
    fn daemon(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let one = |value: Option<u64>| value.map(|value| (Vec::new(), value));
        Family::new("wapcd_build", "The version that runs").info(encoder, &vec![("version", &*self.status.version)])?;
        Family::seconds("wapcd_uptime", "Time since the daemon started")
            .gauges(encoder, [(Vec::new(), self.status.uptime_s)])?;
        Family::new("wapcd_draining", "Whether the daemon is stopping")
            .gauges(encoder, [(Vec::new(), u64::from(self.status.draining))])?;
        Family::seconds("process_start_time", "When the daemon started, since the Unix epoch")
            .gauges(encoder, [(Vec::new(), self.started)])?;
        Family::bytes("process_resident_memory", "Memory of the process that is in RAM, guests included")
            .gauges(encoder, one(self.process.resident_bytes))?;
        Family::new("process_open_fds", "Open file descriptors of the process")
            .gauges(encoder, one(self.process.open_fds))?;
        Family::new("process_max_fds", "File descriptors that the process may have")
            .gauges(encoder, one(self.process.max_fds))
    }

    fn configuration(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let it = &self.status.configuration;
        let reloads = [("applied", it.reloads), ("refused", it.reloads_refused)];
        Family::new("wapcd_config_reloads", "Reloads of the configuration, by what became of them")
            .counters(encoder, reloads.map(|(outcome, count)| (named("outcome", outcome), count)))?;
        Family::new("wapcd_config_last_reload_successful", "Whether the last reload was applied, or there was none")
            .gauges(encoder, [(Vec::new(), u64::from(it.last_error.is_none()))])?;
        Family::seconds("wapcd_config_loaded_timestamp", "When the configuration was loaded, since the Unix epoch")
            .gauges(encoder, [(Vec::new(), it.loaded_at)])?;
        let refused = self.status.drop_in.as_ref().map(|drop_in| (Vec::new(), drop_in.refused.len() as u64));
        Family::new("wapcd_drop_in_refused_files", "Files of the drop-in directory that are not accepted")
            .gauges(encoder, refused)
    }
}

fn workers(encoder: &mut DescriptorEncoder<'_>, workers: &[WorkerStatus]) -> fmt::Result {
    let indices: Vec<String> = workers.iter().map(|worker| worker.index.to_string()).collect();
    let each = || workers.iter().zip(&indices).map(|(worker, index)| (worker, vec![("worker", index.as_str())]));
    let stalled = |worker: &WorkerStatus| u64::from(worker.state == WorkerState::Stalled);
    Family::new("wapcd_worker_stalled", "Whether something blocks the worker's thread")
        .gauges(encoder, each().map(|(worker, labels)| (labels, stalled(worker))))?;
    Family::new("wapcd_worker_instances", "Instances that live on the worker")
        .gauges(encoder, each().map(|(worker, labels)| (labels, worker.instances as u64)))?;
    Family::new("wapcd_worker_replacements", "How often the worker's thread ended and was replaced")
        .counters(encoder, each().map(|(worker, labels)| (labels, worker.replaced)))
}

fn calls(encoder: &mut DescriptorEncoder<'_>, modules: &[ModuleStatus]) -> fmt::Result {
    let each = || modules.iter().map(|module| (named("module", &module.name), module));
    Family::new("wapcd_calls", "Calls that ended, by how").counters(
        encoder,
        modules.iter().flat_map(|module| tally("module", &module.name, "outcome", &["ok"], &module.calls)),
    )?;
    Family::seconds("wapcd_call_duration", "Time of calls that an instance took, from acceptance to answer")
        .histograms(encoder, each().filter_map(|(labels, module)| Some((labels, module.latency.as_ref()?))))?;
    Family::new("wapcd_queue_calls", "Calls that wait for an instance")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.queued)))?;
    Family::bytes("wapcd_queue", "Payload of calls that wait for an instance")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.queued_bytes)))?;
    Family::new("wapcd_in_flight_calls", "Calls that run")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.in_flight)))
}

fn modules(encoder: &mut DescriptorEncoder<'_>, modules: &[ModuleStatus]) -> fmt::Result {
    let each = || modules.iter().map(|module| (named("module", &module.name), module));
    let states = ModuleState::ALL.map(ModuleState::as_str);
    Family::new("wapcd_module_state", "1 for the state that the module is in, 0 for the others").gauges(
        encoder,
        modules.iter().flat_map(|module| state("module", &module.name, states, module.state.as_str())),
    )?;
    Family::new("wapcd_module_generation", "Which load of the module's code runs")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.generation)))?;
    swaps(encoder, modules)?;
    Family::new("wapcd_module_instances", "Instances that take calls")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.instances.len() as u64)))?;
    Family::new("wapcd_module_restarts", "Restarts of the module, by the reason of the exit before").counters(
        encoder,
        modules.iter().flat_map(|it| tally("module", &it.name, "reason", &REASONS, &it.restarts_by_reason)),
    )?;
    Family::new("wapcd_module_restarts_in_window", "Restarts that count towards the module's or its group's intensity")
        .gauges(encoder, each().map(|(labels, module)| (labels, module.restarts_in_window)))?;
    let slots: Vec<_> = modules
        .iter()
        .flat_map(|module| module.instances.iter().map(move |instance| (module, instance.slot.to_string(), instance)))
        .collect();
    Family::bytes("wapcd_instance_memory", "Linear memory of the instance in that place, after its last call").gauges(
        encoder,
        slots.iter().map(|(module, slot, instance)| {
            (vec![("module", module.name.as_str()), ("slot", slot.as_str())], instance.memory_bytes)
        }),
    )
}

fn swaps(encoder: &mut DescriptorEncoder<'_>, modules: &[ModuleStatus]) -> fmt::Result {
    let differs = |module: &ModuleStatus| u64::from(module.differs.is_some());
    Family::new("wapcd_module_code_differs", "Whether the code that runs is not that of the module's file")
        .gauges(encoder, modules.iter().map(|module| (named("module", &module.name), differs(module))))?;
    let each = modules.iter().flat_map(|module| GenerationOrigin::OF_SWAPS.map(|origin| (module, origin.as_str())));
    Family::new("wapcd_module_swaps", "Swaps of the module's code, by the origin of the new code and how they ended")
        .counters(
            encoder,
            each.flat_map(|(module, origin)| {
                let counts = module.swaps.get(origin).copied().unwrap_or_default();
                [("done", counts.done), ("failed", counts.failed)].map(|(outcome, count)| {
                    (vec![("module", module.name.as_str()), ("origin", origin), ("outcome", outcome)], count)
                })
            }),
        )
}

fn bindings(encoder: &mut DescriptorEncoder<'_>, bindings: &[BindingStatus]) -> fmt::Result {
    let states = ServiceState::ALL.map(ServiceState::as_str);
    Family::new("wapcd_host_calls", "Host calls that the binding answered, by operation and how").counters(
        encoder,
        bindings.iter().flat_map(|binding| {
            binding.host_calls.iter().map(|counted| {
                let (operation, outcome) = (counted.operation.as_str(), counted.outcome.as_str());
                (
                    vec![("binding", binding.name.as_str()), ("operation", operation), ("outcome", outcome)],
                    counted.count,
                )
            })
        }),
    )?;
    Family::new("wapcd_binding_state", "1 for the state that the binding is in, 0 for the others").gauges(
        encoder,
        bindings.iter().flat_map(|binding| state("binding", &binding.name, states, binding.state.as_str())),
    )?;
    Family::new("wapcd_binding_restarts", "Restarts of the binding, by the reason of the exit before").counters(
        encoder,
        bindings.iter().flat_map(|it| tally("binding", &it.name, "reason", &REASONS, &it.restarts_by_reason)),
    )?;
    Family::new(
        "wapcd_binding_restarts_in_window",
        "Restarts that count towards the binding's or its group's intensity",
    )
    .gauges(encoder, bindings.iter().map(|it| (named("binding", &it.name), it.restarts_in_window)))?;
    let backend = |it: &'_ BindingStatus| it.backend.as_ref().map(|backend| backend.state.clone());
    let of_backends: Vec<_> = bindings.iter().filter_map(|it| Some((it, backend(it)?))).collect();
    Family::new(
        "wapcd_binding_backend_state",
        "1 for how the binding stands with the server behind it, 0 for the others",
    )
    .gauges(
        encoder,
        of_backends.iter().flat_map(|(it, now)| {
            BACKEND_STATES.map(|name| (vec![("binding", it.name.as_str()), ("state", name)], u64::from(name == now)))
        }),
    )?;
    let loads = || bindings.iter().filter_map(|it| Some((named("binding", &it.name), it.load?)));
    Family::new("wapcd_binding_running", "Host calls that the binding's backend has")
        .gauges(encoder, loads().map(|(labels, load)| (labels, load.running)))?;
    Family::new("wapcd_binding_waiting", "Host calls that wait for a place in the binding's backend")
        .gauges(encoder, loads().map(|(labels, load)| (labels, load.waiting)))?;
    let caches = || bindings.iter().filter_map(|it| Some((named("binding", &it.name), it.cache?)));
    Family::new(
        "wapcd_binding_cache_hits",
        "Reads that were answered from the cache in front of the binding's backend",
    )
    .counters(encoder, caches().map(|(labels, cache)| (labels, cache.hits)))?;
    Family::new("wapcd_binding_cache_misses", "Reads that had to ask the backend behind the cache")
        .counters(encoder, caches().map(|(labels, cache)| (labels, cache.misses)))?;
    Family::new("wapcd_binding_cache_bytes", "Bytes that the entries in the cache take")
        .gauges(encoder, caches().map(|(labels, cache)| (labels, cache.bytes)))
}

fn groups(encoder: &mut DescriptorEncoder<'_>, groups: &[GroupStatus]) -> fmt::Result {
    let each = || groups.iter().map(|group| (named("group", &group.name), group));
    let states = GroupState::ALL.map(GroupState::as_str);
    Family::new("wapcd_group_state", "1 for the state that the group is in, 0 for the others")
        .gauges(encoder, groups.iter().flat_map(|it| state("group", &it.name, states, it.state.as_str())))?;
    Family::new("wapcd_group_restarts", "Restarts of members of the group")
        .counters(encoder, each().map(|(labels, group)| (labels, group.restarts)))?;
    Family::new("wapcd_group_restarts_in_window", "Restarts that count towards the group's intensity")
        .gauges(encoder, each().map(|(labels, group)| (labels, group.restarts_in_window)))
}

pub(super) fn named<'a>(label: &'static str, name: &'a str) -> Labels<'a> {
    vec![(label, name)]
}

/// A sample for each possible state.
pub(super) fn state<'a, const N: usize>(
    label: &'static str,
    name: &'a str,
    states: [&'static str; N],
    current: &'static str,
) -> impl Iterator<Item = (Labels<'a>, u64)> {
    states.into_iter().map(move |state| (vec![(label, name), ("state", state)], u64::from(state == current)))
}

/// A sample for each kind that was counted, and zero for those of `kinds` that were not.
pub(super) fn tally<'a>(
    label: &'static str,
    name: &'a str,
    kind_label: &'static str,
    kinds: &'static [&'static str],
    counted: &'a BTreeMap<String, u64>,
) -> impl Iterator<Item = (Labels<'a>, u64)> {
    let all: BTreeSet<&str> = kinds.iter().copied().chain(counted.keys().map(String::as_str)).collect();
    let count = |kind: &str| counted.get(kind).copied().unwrap_or_default();
    all.into_iter().map(move |kind| (vec![(label, name), (kind_label, kind)], count(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::ExitReason;

    #[test]
    fn restarts_are_counted_from_zero_under_every_reason_but_a_stop() {
        let mut reasons = [
            ExitReason::Trapped,
            ExitReason::DeadlineExceeded { in_host_call: false },
            ExitReason::LimitExceeded,
            ExitReason::Exited(1),
            ExitReason::Panicked,
            ExitReason::LoadFailed,
            ExitReason::StartFailed,
            ExitReason::Unhealthy,
            ExitReason::BackendEnded,
            ExitReason::BindingEnded,
            ExitReason::Ended,
        ]
        .map(ExitReason::as_str);
        reasons.sort_unstable();
        assert_eq!(reasons, REASONS);
    }
}
