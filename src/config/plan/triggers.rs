//! Compares triggers, key by key and without `..`, as `diff` does with sections.

use super::{
    Change,
    ChangeAction::{Add, Adjust, Remove, Restart as Anew},
    children::restart,
    diff::{Differences, whole},
};
use crate::config::model::{
    FilesSettings, HttpSettings, Member, MessagesSettings, ScheduleSettings, Target, Trigger,
    TriggerSettings as Settings, When,
};

/// What differs between a trigger and itself. One of another type has nothing in common with what it was.
pub(super) fn trigger(old: &Trigger, new: &Trigger) -> Vec<Change> {
    let Trigger { name, settings, restart, shutdown } = new;
    let mut found = Differences::default();
    match (&old.settings, settings) {
        (Settings::Http(old), Settings::Http(new)) => http(&mut found, old, new),
        (Settings::Schedule(old), Settings::Schedule(new)) => schedule(&mut found, old, new),
        (Settings::Messages(old), Settings::Messages(new)) => messages(&mut found, old, new),
        (Settings::Files(old), Settings::Files(new)) => files(&mut found, old, new),
        _ => return [Remove, Add].map(|action| whole(Member::Trigger(name.clone()), action)).into(),
    }
    self::restart(&mut found, &old.restart, restart);
    found.key("shutdown", Adjust, &old.shutdown, shutdown);
    found.of(name.clone(), Member::Trigger)
}

/// Connections go on whatever changes.
fn http(found: &mut Differences, old: &HttpSettings, new: &HttpSettings) {
    let HttpSettings { listeners, routes, limits, access_log, verbose_errors } = new;
    found.key("listen", Adjust, &old.listeners, listeners);
    found.key("routes", Adjust, &old.routes, routes);
    found.key("limits", Adjust, &old.limits, limits);
    found.key("access_log", Adjust, &old.access_log, access_log);
    found.key("verbose_errors", Adjust, &old.verbose_errors, verbose_errors);
}

fn target(found: &mut Differences, old: &Target, new: &Target) {
    let Target { module, operation, timeout } = new;
    found.key("module", Adjust, &old.module, module);
    found.key("operation", Adjust, &old.operation, operation);
    found.key("timeout", Adjust, &old.timeout, timeout);
}

fn schedule(found: &mut Differences, old: &ScheduleSettings, new: &ScheduleSettings) {
    let ScheduleSettings { when, target, payload, overlap, jitter, run_on_start, catch_up } = new;
    for ((key, old), (_, new)) in times(&old.when).iter().zip(times(when).iter()) {
        found.key(key, Adjust, old, new);
    }
    self::target(found, &old.target, target);
    found.key("payload", Adjust, &old.payload, payload);
    found.key("overlap", Adjust, &old.overlap, overlap);
    found.key("jitter", Adjust, &old.jitter, jitter);
    found.key("run_on_start", Adjust, &old.run_on_start, run_on_start);
    found.key("catch_up", Adjust, &old.catch_up, catch_up);
}

/// When there are calls, key by key.
fn times(when: &When) -> [(&'static str, Option<String>); 3] {
    let (cron, timezone, every) = match when {
        When::Cron(calendar) => (Some(calendar.expression().to_owned()), Some(calendar.zone().to_owned()), None),
        When::Every(time) => (None, None, Some(format!("{time:?}"))),
    };
    [("cron", cron), ("timezone", timezone), ("every", every)]
}

/// What is subscribed to is subscribed to anew.
fn messages(found: &mut Differences, old: &MessagesSettings, new: &MessagesSettings) {
    let MessagesSettings { binding, topics, group, durable, target, envelope, concurrency } = new;
    found.key("binding", Anew, &old.binding, binding);
    found.key("topics", Anew, &old.topics, topics);
    found.key("group", Anew, &old.group, group);
    found.key("durable", Anew, &old.durable, durable);
    self::target(found, &old.target, target);
    found.key("envelope", Adjust, &old.envelope, envelope);
    found.key("concurrency", Anew, &old.concurrency, concurrency);
}

fn files(found: &mut Differences, old: &FilesSettings, new: &FilesSettings) {
    let FilesSettings { dir, target, envelope, max_size, concurrency, attempts, retry_delay, after } = new;
    found.key("dir", Anew, &old.dir, dir);
    self::target(found, &old.target, target);
    found.key("envelope", Adjust, &old.envelope, envelope);
    found.key("max_size", Adjust, &old.max_size, max_size);
    found.key("concurrency", Anew, &old.concurrency, concurrency);
    found.key("attempts", Adjust, &old.attempts, attempts);
    found.key("retry_delay", Adjust, &old.retry_delay, retry_delay);
    found.key("after", Adjust, &old.after, after);
}
