//! Compares modules and groups, key by key and without `..`, as `diff` does with sections.

use super::{
    ChangeAction::{Adjust, Restart as Anew, Swap as NewCode},
    diff::Differences,
};
use crate::config::model::{Backoff, Group, Module, ModuleLimits, Probation, Restart, Swap, Wasi};

/// What differs between a module and itself.
pub(super) fn module(old: &Module, new: &Module) -> Differences {
    let Module {
        name: _,
        declared,
        path,
        engine,
        lazy,
        instances,
        queue,
        queue_bytes,
        queue_timeout,
        on_full,
        rate_limit,
        binding_wait,
        shutdown,
        health,
        limits,
        links,
        config,
        restart,
        wasi,
        swap,
        on_start,
        on_stop,
    } = new;
    let mut found = Differences::default();
    found.key("declared", Adjust, &old.declared, declared);
    found.key("path", NewCode, &old.path, path);
    found.key("engine", Anew, &old.engine, engine);
    found.key("lazy", Adjust, &old.lazy, lazy);
    found.key("instances", Adjust, &old.instances, instances);
    found.key("queue", Adjust, &old.queue, queue);
    found.key("queue_bytes", Adjust, &old.queue_bytes, queue_bytes);
    found.key("queue_timeout", Adjust, &old.queue_timeout, queue_timeout);
    found.key("on_full", Adjust, &old.on_full, on_full);
    found.key("rate_limit", Adjust, &old.rate_limit, rate_limit);
    found.key("binding_wait", Adjust, &old.binding_wait, binding_wait);
    found.key("shutdown", Adjust, &old.shutdown, shutdown);
    found.key("health", Adjust, &old.health, health);
    self::limits(&mut found, &old.limits, limits);
    found.key("links", Adjust, &old.links, links);
    found.key("config", Adjust, &old.config, config);
    self::restart(&mut found, &old.restart, restart);
    self::wasi(&mut found, &old.wasi, wasi);
    self::swap(&mut found, &old.swap, swap);
    found.key("on_start", Adjust, &old.on_start, on_start);
    found.key("on_stop", Adjust, &old.on_stop, on_stop);
    found
}

fn limits(found: &mut Differences, old: &ModuleLimits, new: &ModuleLimits) {
    let ModuleLimits { module_size, memory, table_elements, call_timeout, payload, response } = new;
    found.key("limits.module_size", Adjust, &old.module_size, module_size);
    found.key("limits.memory", Adjust, &old.memory, memory);
    found.key("limits.table_elements", Adjust, &old.table_elements, table_elements);
    found.key("limits.call_timeout", Adjust, &old.call_timeout, call_timeout);
    found.key("limits.payload", Adjust, &old.payload, payload);
    found.key("limits.response", Adjust, &old.response, response);
}

/// How a module or a binding is restarted.
pub(super) fn restart(found: &mut Differences, old: &Restart, new: &Restart) {
    let Restart { restart_type, intensity, period, reset_on_success, retry_failed, backoff } = new;
    let Backoff { initial, max, factor, jitter } = backoff;
    found.key("restart.type", Adjust, &old.restart_type, restart_type);
    found.key("restart.intensity", Adjust, &old.intensity, intensity);
    found.key("restart.period", Adjust, &old.period, period);
    found.key("restart.reset_on_success", Adjust, &old.reset_on_success, reset_on_success);
    found.key("restart.retry_failed", Adjust, &old.retry_failed, retry_failed);
    found.key("restart.backoff.initial", Adjust, &old.backoff.initial, initial);
    found.key("restart.backoff.max", Adjust, &old.backoff.max, max);
    found.key("restart.backoff.factor", Adjust, &old.backoff.factor, factor);
    found.key("restart.backoff.jitter", Adjust, &old.backoff.jitter, jitter);
}

/// What WASI grants is handed to a guest when it is instantiated.
fn wasi(found: &mut Differences, old: &Wasi, new: &Wasi) {
    let Wasi { argv, env, preopened_dirs, map_dirs } = new;
    found.key("wasi.argv", Anew, &old.argv, argv);
    found.key("wasi.env", Anew, &old.env, env);
    found.key("wasi.preopened_dirs", Anew, &old.preopened_dirs, preopened_dirs);
    found.key("wasi.map_dirs", Anew, &old.map_dirs, map_dirs);
}

fn swap(found: &mut Differences, old: &Swap, new: &Swap) {
    let Swap { probe, probation, hand_over } = new;
    let time = |probation: &Option<Probation>| probation.map(|Probation { time, max_failures: _ }| time);
    let failures = |probation: &Option<Probation>| probation.map(|probation| probation.max_failures);
    found.key("swap.probe", Adjust, &old.probe, probe);
    found.key("swap.probation", Adjust, &time(&old.probation), &time(probation));
    // With the time comes a number, also where nobody wrote one.
    if old.probation.is_some() && probation.is_some() {
        found.key("swap.max_failures", Adjust, &failures(&old.probation), &failures(probation));
    }
    let old = old.hand_over.as_ref();
    let new = hand_over.as_ref();
    found.key("swap.export", Adjust, &old.map(|both| &both.export), &new.map(|both| &both.export));
    found.key("swap.import", Adjust, &old.map(|both| &both.import), &new.map(|both| &both.import));
}

/// What differs between a group and itself.
pub(super) fn group(old: &Group, new: &Group) -> Differences {
    let Group { name: _, strategy, members, intensity, period, retry_failed, critical } = new;
    let mut found = Differences::default();
    found.key("strategy", Adjust, &old.strategy, strategy);
    found.key("members", Adjust, &old.members, members);
    found.key("intensity", Adjust, &old.intensity, intensity);
    found.key("period", Adjust, &old.period, period);
    found.key("retry_failed", Adjust, &old.retry_failed, retry_failed);
    found.key("critical", Adjust, &old.critical, critical);
    found
}
