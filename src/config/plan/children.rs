//! Compares modules, bindings and groups, key by key and without `..`, as `diff` does with sections.

use super::{
    Change,
    ChangeAction::{Add, Adjust, Remove, Restart as Anew, Swap as NewCode},
    diff::{Differences, whole},
};
use crate::config::model::{
    Backoff, Binding, BindingSettings, Group, KeyValueBackend, KeyValueSettings, Member, Module, ModuleLimits,
    Probation, Restart, Swap, Wasi,
};

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
        restart,
        wasi,
        swap,
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
    self::restart(&mut found, &old.restart, restart);
    self::wasi(&mut found, &old.wasi, wasi);
    self::swap(&mut found, &old.swap, swap);
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

fn restart(found: &mut Differences, old: &Restart, new: &Restart) {
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

/// What differs between a binding and itself. One of another type has nothing in common with what it was.
pub(super) fn binding(old: &Binding, new: &Binding) -> Vec<Change> {
    let Binding { name, settings, restart, shutdown, health } = new;
    let mut found = Differences::default();
    if !self::settings(&mut found, &old.settings, settings) {
        return [Remove, Add].map(|action| whole(Member::Binding(name.clone()), action)).into();
    }
    self::restart(&mut found, &old.restart, restart);
    found.key("shutdown", Adjust, &old.shutdown, shutdown);
    found.key("health", Adjust, &old.health, health);
    found.of(name.clone(), Member::Binding)
}

/// Compares what the type takes; `false` where the types differ.
fn settings(found: &mut Differences, old: &BindingSettings, new: &BindingSettings) -> bool {
    match (old, new) {
        (BindingSettings::KeyValue(old), BindingSettings::KeyValue(new)) => {
            let KeyValueSettings { backend, max_key, max_value } = new;
            keyvalue_backend(found, &old.backend, backend);
            found.key("max_key", Anew, &old.max_key, max_key);
            found.key("max_value", Anew, &old.max_value, max_value);
            true
        }
        (BindingSettings::Log, BindingSettings::Log) | (BindingSettings::Module, BindingSettings::Module) => true,
        #[cfg(feature = "fault-injection")]
        (BindingSettings::Faulty, BindingSettings::Faulty) => true,
        (BindingSettings::Log | BindingSettings::Module | BindingSettings::KeyValue(_), _) => false,
        #[cfg(feature = "fault-injection")]
        (BindingSettings::Faulty, _) => false,
    }
}

fn keyvalue_backend(found: &mut Differences, old: &KeyValueBackend, new: &KeyValueBackend) {
    match (old, new) {
        (KeyValueBackend::Memory { max_bytes: old }, KeyValueBackend::Memory { max_bytes: new }) => {
            found.key("max_bytes", Anew, old, new);
        }
        (KeyValueBackend::Redb { path: old }, KeyValueBackend::Redb { path: new }) => found.key("path", Anew, old, new),
        (KeyValueBackend::Memory { .. } | KeyValueBackend::Redb { .. }, _) => found.key("backend", Anew, &old, &new),
    }
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
