//! Tables of modules, bindings, groups and workers, and the page that has all of them, triggers as well.

use super::{
    code, configuration, exit, put, state,
    text::{ago, bytes, duration, in_one_line, short, visible},
    trigger,
};
use crate::{
    control::table::Table,
    supervisor::status::{
        BackendStatus, BindingStatus, GroupStatus, ModuleState, ModuleStatus, ServiceState, Status, WorkerState,
        WorkerStatus,
    },
};

/// The whole daemon: a line about it, what is wrong with its workers, its configuration and drop-in directory with what was
/// refused there, then a table of each kind of part that it has.
#[must_use]
pub fn status(status: &Status, now: f64) -> String {
    let draining = if status.draining { ", stopping" } else { "" };
    let mut page = format!(
        "wapcd {} (process {}), up {}, {} workers, engine {}, {} waiting in queues{draining}\n",
        visible(&status.version),
        status.pid,
        duration(status.uptime_s),
        status.workers.len(),
        visible(&status.engine),
        bytes(status.queue_bytes),
    );
    for worker in status.workers.iter().filter(|worker| worker.state == WorkerState::Stalled) {
        put(&mut page, format_args!("{}\n", stalled(worker)));
    }
    page.push_str(&configuration::configuration(&status.configuration, now));
    page.push_str(&status.drop_in.as_ref().map(configuration::drop_in).unwrap_or_default());
    for table in [
        modules(&status.modules, now),
        table_of_bindings(&status.bindings, now),
        trigger::table(&status.triggers, now),
        groups(&status.groups, now),
        workers(&status.workers),
    ] {
        if !table.is_empty() {
            put(&mut page, format_args!("\n{table}"));
        }
    }
    page
}

/// A table of modules.
#[must_use]
pub fn modules(modules: &[ModuleStatus], now: f64) -> String {
    let head = [
        "MODULE",
        "STATE",
        "GEN",
        "CODE",
        "INST",
        "QUEUED",
        "RUNNING",
        "OK",
        "FAILED",
        "REFUSED",
        "RESTARTS",
        "UP",
        "GROUP",
        "LAST EXIT",
    ];
    let mut table = Table::new(&head, &[2, 4, 5, 6, 7, 8, 9, 10, 11]);
    for module in modules {
        table.row(vec![
            visible(&module.name),
            module_state(module, now),
            module.generation.to_string(),
            code::word(module).to_owned(),
            module.instances.len().to_string(),
            module.queued.to_string(),
            module.in_flight.to_string(),
            module.calls_ok.to_string(),
            module.calls_failed.to_string(),
            module.calls_refused.to_string(),
            module.restarts.to_string(),
            module.uptime_s.map_or_else(|| "-".to_owned(), duration),
            module.group.as_deref().map_or_else(|| "-".to_owned(), visible),
            exit::cell(module.last_exit.as_ref(), now),
        ]);
    }
    table.render()
}

/// The state, and what is waited for.
pub(super) fn module_state(module: &ModuleStatus, now: f64) -> String {
    let state = state(module.state.as_str(), module.next_try, now);
    let mut waits: Vec<String> = module.waiting_for.iter().map(|name| visible(name)).collect();
    if module.state == ModuleState::Starting && module.on_start.is_some() {
        waits.push("its on_start".to_owned());
    }
    if waits.is_empty() { state } else { format!("{state}, waits for {}", waits.join(", ")) }
}

/// A table of bindings, and how those ended that did.
#[must_use]
pub fn bindings(bindings: &[BindingStatus], now: f64) -> String {
    let mut page = table_of_bindings(bindings, now);
    for binding in bindings {
        if let Some(backend) = binding.backend.as_ref().filter(|backend| backend.why.is_some()) {
            put(&mut page, format_args!("\n{}:\n{}", visible(&binding.name), self::backend(backend, now)));
        }
        if let Some(exit) = &binding.last_exit {
            put(&mut page, format_args!("\n{}:\n{}", visible(&binding.name), exit::paragraph(exit, now)));
        }
    }
    page
}

/// The state of a binding that runs, and how it stands with what is behind it unless that is well.
fn binding_state(binding: &BindingStatus, now: f64) -> String {
    let own = state(binding.state.as_str(), binding.next_try, now);
    match &binding.backend {
        Some(backend) if binding.state == ServiceState::Running && backend.state != "connected" => {
            format!("{own}, {}", state(&backend.state, backend.next_try, now))
        }
        _ => own,
    }
}

/// Why a backend is not connected, and since when.
fn backend(backend: &BackendStatus, now: f64) -> String {
    let why = backend.why.as_deref().unwrap_or_default();
    let (since, tries) = (ago(backend.since, now), backend.tries);
    let tries = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
    format!("  {} {since}, {tries} failed since:\n    {}\n", visible(&backend.state), visible(&in_one_line(why)))
}

fn table_of_bindings(bindings: &[BindingStatus], now: f64) -> String {
    let head = ["BINDING", "TYPE", "STATE", "OK", "FAILED", "RESTARTS", "UP", "GROUP", "LAST EXIT"];
    let mut table = Table::new(&head, &[3, 4, 5, 6]);
    for binding in bindings {
        table.row(vec![
            visible(&binding.name),
            visible(&binding.type_name),
            binding_state(binding, now),
            binding.calls_ok.to_string(),
            binding.calls_failed.to_string(),
            binding.restarts.to_string(),
            binding.uptime_s.map_or_else(|| "-".to_owned(), duration),
            binding.group.as_deref().map_or_else(|| "-".to_owned(), visible),
            exit::cell(binding.last_exit.as_ref(), now),
        ]);
    }
    table.render()
}

fn groups(groups: &[GroupStatus], now: f64) -> String {
    if groups.is_empty() {
        return String::new();
    }
    let head = ["GROUP", "STATE", "STRATEGY", "RESTARTS", "COUNTED", "CRITICAL", "WITHIN", "MEMBERS"];
    let mut table = Table::new(&head, &[3, 4]);
    for group in groups {
        let members: Vec<String> = group.members.iter().map(|member| visible(member)).collect();
        table.row(vec![
            visible(&group.name),
            state(group.state.as_str(), group.next_try, now),
            visible(&group.strategy),
            group.restarts.to_string(),
            group.restarts_in_window.to_string(),
            if group.critical { "yes" } else { "no" }.to_owned(),
            group.group.as_deref().map_or_else(|| "-".to_owned(), visible),
            members.join(", "),
        ]);
    }
    table.render()
}

fn workers(workers: &[WorkerStatus]) -> String {
    let mut table = Table::new(&["WORKER", "STATE", "INST", "REPLACED"], &[0, 2, 3]);
    for worker in workers {
        table.row(vec![
            worker.index.to_string(),
            worker.state.as_str().to_owned(),
            worker.instances.to_string(),
            worker.replaced.to_string(),
        ]);
    }
    table.render()
}

/// What is wrong with a worker, so that nobody overlooks it.
fn stalled(worker: &WorkerStatus) -> String {
    let span = worker.stalled_s.map(|seconds| format!(" FOR {}", short(seconds))).unwrap_or_default();
    format!(
        "!! WORKER {} IS STALLED{span}: something blocks its thread, and its {} instances answer no call",
        worker.index, worker.instances
    )
}
