//! The page of one module.

use std::collections::BTreeMap;

use super::{
    code, exit,
    overview::module_state,
    put,
    text::{bytes, duration, short, visible, words},
};
use crate::supervisor::status::{InstanceStatus, Latency, ModuleState, ModuleStatus};

/// Everything about one module, with its generations, its last swap error, and the causes and backtrace of its last exit.
#[must_use]
pub fn module(module: &ModuleStatus, now: f64) -> String {
    let mut page = format!("{}: {}\n", visible(&module.name), module_state(module, now));
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            put(&mut page, format_args!("  {name:<12}{value}\n"));
        }
    };
    line("file", visible(&module.path));
    line("declared", visible(&module.declared));
    line("sha256", module.sha256.as_deref().map(visible).unwrap_or_default());
    line("group", module.group.as_deref().map(visible).unwrap_or_default());
    line("waits for", module.on_start.as_deref().map(visible).unwrap_or_default());
    line("generation", code::generation(module));
    line("differs", module.differs.as_deref().map(visible).unwrap_or_default());
    line("swapping", module.swapping.as_deref().map(visible).unwrap_or_default());
    line("swaps", swaps(module));
    line("up", module.uptime_s.map(duration).unwrap_or_default());
    module.instances.iter().for_each(|it| line("instance", instance(it)));
    line("calls", calls(module));
    line("outcomes", tally(&module.calls));
    line("latency", module.latency.as_ref().map(latency).unwrap_or_default());
    line("queue", format!("{} calls, {}", module.queued, bytes(module.queued_bytes)));
    let ModuleStatus { restarts: all, restarts_by_reason, restarts_in_window, group, .. } = module;
    line("restarts", restarts(*all, restarts_by_reason, *restarts_in_window, group.as_deref()));
    if module.state == ModuleState::Failed {
        line("to revive", format!("wapcctl start {}", visible(&module.name)));
    }
    page.push_str(&code::generations(&module.generations, now));
    if let Some(error) = &module.last_swap_error {
        page.push_str(&code::swap_error(error, now));
    }
    if let Some(last) = &module.last_exit {
        page.push_str(&exit::paragraph(last, now));
    }
    page
}

/// What an action did: one line, and the last exit where the module has failed.
#[must_use]
pub fn outcome(module: &ModuleStatus, now: f64) -> String {
    let mut text =
        format!("{}: {}, generation {}\n", visible(&module.name), module_state(module, now), module.generation);
    if let (ModuleState::Failed, Some(last)) = (module.state, &module.last_exit) {
        text.push_str(&exit::paragraph(last, now));
    }
    text
}

fn instance(instance: &InstanceStatus) -> String {
    let InstanceStatus { id, slot, worker, generation, uptime_s, memory_bytes } = instance;
    format!(
        "{slot}: id {id}, generation {generation}, on worker {worker}, up {}, memory {}",
        duration(*uptime_s),
        bytes(*memory_bytes)
    )
}

fn calls(module: &ModuleStatus) -> String {
    let ModuleStatus { calls_ok, calls_failed, calls_refused, in_flight, .. } = module;
    format!("{calls_ok} ok, {calls_failed} failed, {calls_refused} refused, {in_flight} running")
}

/// `operator 2, file 1 (3 failed)`; nothing where nothing was swapped.
fn swaps(module: &ModuleStatus) -> String {
    let counted = module.swaps.iter().filter(|(_, counts)| counts.done + counts.failed > 0);
    let text = counted.map(|(origin, counts)| {
        let failed = if counts.failed > 0 { format!(" ({} failed)", counts.failed) } else { String::new() };
        format!("{} {}{failed}", visible(&words(origin)), counts.done)
    });
    text.collect::<Vec<_>>().join(", ")
}

/// Restarts in all, by their reasons, and those that count now towards the intensity of the child or its group.
pub(super) fn restarts(all: u64, reasons: &BTreeMap<String, u64>, counting: u32, group: Option<&str>) -> String {
    let reasons = tally(reasons);
    let reasons = if reasons.is_empty() { reasons } else { format!(" ({reasons})") };
    let whose = group.map_or_else(|| "its".to_owned(), |name| format!("group {}'s", visible(name)));
    format!("{all}{reasons}, {counting} count towards {whose} intensity now")
}

/// The most frequent first.
fn tally(counted: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = counted.iter().filter(|(_, count)| **count > 0).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    all.iter().map(|(name, count)| format!("{} {count}", visible(name))).collect::<Vec<_>>().join(", ")
}

fn latency(latency: &Latency) -> String {
    if latency.count == 0 {
        return String::new();
    }
    let mean = latency.sum_s / latency.count as f64;
    let (half, most) = (quantile(latency, 0.5), quantile(latency, 0.99));
    format!("p50 {half}, p99 {most}, mean {} of {} calls", short(mean), latency.count)
}

/// The bound that so many of the calls did not exceed. Where in its bucket a call lay is not known, and of few calls a
/// guess may be slower than any of them was.
fn quantile(latency: &Latency, share: f64) -> String {
    let rank = share * latency.count as f64;
    let reached = latency.buckets.iter().find(|(_, up_to)| *up_to as f64 >= rank);
    let slowest = || latency.buckets.last().map_or(0.0, |(bound, _)| *bound);
    reached.map_or_else(|| format!("over {}", short(slowest())), |(bound, _)| format!("up to {}", short(*bound)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_bounds_that_so_many_calls_did_not_exceed() {
        let latency = Latency { count: 100, sum_s: 2.0, buckets: vec![(0.01, 40), (0.02, 60), (1.0, 98)] };
        for (share, expected) in [(0.4, "up to 10ms"), (0.41, "up to 20ms"), (0.98, "up to 1s"), (0.99, "over 1s")] {
            assert_eq!(quantile(&latency, share), expected, "{share}");
        }
        assert_eq!(super::latency(&latency), "p50 up to 20ms, p99 over 1s, mean 20ms of 100 calls");
        let one = Latency { count: 1, sum_s: 5.0, buckets: vec![(2.5, 0), (5.0, 1), (10.0, 1)] };
        assert_eq!(super::latency(&one), "p50 up to 5s, p99 up to 5s, mean 5s of 1 calls");
        assert_eq!(super::latency(&Latency::default()), "");
    }

    #[test]
    fn the_most_frequent_comes_first_and_what_never_happened_does_not_come() {
        let counted = [("busy", 1), ("ok", 7), ("expired", 0), ("a\u{7}", 1)];
        let counted = counted.map(|(name, count)| (name.to_owned(), count)).into_iter().collect();
        assert_eq!(tally(&counted), "ok 7, a\\u{7} 1, busy 1");
    }
}
