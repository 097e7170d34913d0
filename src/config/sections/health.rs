//! `[modules.NAME.health]` and `[bindings.NAME.health]`: how, and how often, a child is asked whether it is well.

use std::time::Duration;

use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{HealthCheck, ModuleHealth},
    reader::{Node, Problem, Section},
    time::TimeSpan,
};

/// Reads a module's; a check is a call, and cannot take longer than one.
pub(super) fn of_module(node: &Node<'_>, call_timeout: Duration) -> Option<ModuleHealth> {
    let section = node.section("a table { operation, interval, timeout, failures }")?;
    let operation = section.require("operation", "the guest's operation that is called");
    let check = check(&section, Some(call_timeout));
    section.finish();
    let operation = operation?;
    match operation.text("the guest's operation that is called")? {
        "" => operation.bad(ConfigErrorKind::BadValue, "the name of an operation", None),
        name => Some(ModuleHealth { operation: name.to_owned(), check }),
    }
}

/// Reads a binding's.
pub(super) fn of_binding(node: &Node<'_>) -> Option<HealthCheck> {
    let section = node.section("a table { interval, timeout, failures }")?;
    let check = check(&section, None);
    section.finish();
    Some(check)
}

/// What both have. The default timeout gives way to a shorter interval or `call_timeout`, a written one does not.
fn check(section: &Section<'_>, call_timeout: Option<Duration>) -> HealthCheck {
    let base = HealthCheck::default();
    let interval = section.or("interval", base.interval, |node| node.time(&bounds::HEALTH_INTERVAL));
    let longest = [Some((interval, "the interval")), call_timeout.map(|time| (time, "the module's call_timeout"))];
    let shortest = longest.iter().flatten().map(|(time, _)| *time).fold(base.timeout, Duration::min);
    HealthCheck {
        interval,
        timeout: section.or("timeout", shortest, |node| {
            let timeout = node.time(&bounds::HEALTH_TIMEOUT)?;
            match longest.into_iter().flatten().find(|(time, _)| timeout > *time) {
                Some((time, what)) => node.problem(too_long(timeout, time, what)),
                None => Some(timeout),
            }
        }),
        failures: section.or("failures", base.failures, |node| node.count(&bounds::HEALTH_FAILURES)),
    }
}

fn too_long(timeout: Duration, longest: Duration, what: &str) -> Problem {
    let (timeout, longest) = (TimeSpan::new(timeout), TimeSpan::new(longest));
    Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("a timeout of {timeout}, longer than {what} of {longest}"),
        expected: "`timeout` no longer than `interval` and, in a module, no longer than `limits.call_timeout`"
            .to_owned(),
        hint: None,
    }
}
