//! `[defaults.restart]`, `[modules.NAME.restart]` and `[bindings.NAME.restart]`: when what failed is started anew, and when no
//! more.

use std::time::Duration;

use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{Backoff, Restart, RestartType},
    reader::{Node, Problem, Section},
    time::TimeSpan,
};

const TYPES: &[(&str, RestartType)] = &[
    ("permanent", RestartType::Permanent),
    ("transient", RestartType::Transient),
    ("temporary", RestartType::Temporary),
];

/// Keys that a group has as well, for all of its members together.
const COUNTS: &[&str] = &["intensity", "period", "retry_failed"];

/// Reads it over the values that hold where it is silent.
pub(in crate::config) fn read(section: Option<Section<'_>>, base: &Restart) -> Restart {
    let Some(section) = section else {
        return base.clone();
    };
    let restart = Restart {
        restart_type: section.or("type", base.restart_type, |node| node.choice(TYPES)),
        intensity: section.or("intensity", base.intensity, |node| node.count(&bounds::INTENSITY)),
        period: section.or("period", base.period, |node| node.time(&bounds::PERIOD)),
        reset_on_success: section.or("reset_on_success", base.reset_on_success, Node::flag),
        retry_failed: section.or("retry_failed", base.retry_failed, retry_failed),
        backoff: section.or("backoff", base.backoff.clone(), |node| backoff(node, &base.backoff)),
    };
    section.finish();
    restart
}

/// The keys of a `restart` table that count restarts, as far as they are written. That it is a table is checked by [`read`].
pub(super) fn counts<'d>(restart: &Node<'d>) -> Vec<Node<'d>> {
    COUNTS.iter().filter_map(|key| restart.entry(key)).collect()
}

/// `"never"`, or a time.
pub(super) fn retry_failed(node: &Node<'_>) -> Option<Option<Duration>> {
    const NEVER: &str = "never";
    if node.is_text() && node.text(NEVER)? == NEVER {
        return Some(None);
    }
    node.time_or(&bounds::RETRY_FAILED, "\"never\" or ").map(Some)
}

/// How long to wait between tries.
pub(super) fn backoff(node: &Node<'_>, base: &Backoff) -> Option<Backoff> {
    let section = node.section("a table { initial, max, factor, jitter }")?;
    let backoff = Backoff {
        initial: section.or("initial", base.initial, |node| node.time(&bounds::BACKOFF_INITIAL)),
        max: section.or("max", base.max, |node| node.time(&bounds::BACKOFF_MAX)),
        factor: section.or("factor", base.factor, |node| node.ratio(&bounds::BACKOFF_FACTOR)),
        jitter: section.or("jitter", base.jitter, |node| node.ratio(&bounds::BACKOFF_JITTER)),
    };
    section.finish();
    if backoff.initial > backoff.max {
        return node.problem(Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!(
                "an initial wait of {}, longer than the longest of {}",
                show(backoff.initial),
                show(backoff.max)
            ),
            expected: "`initial` no longer than `max`".to_owned(),
            hint: None,
        });
    }
    Some(backoff)
}

fn show(duration: Duration) -> TimeSpan {
    TimeSpan::new(duration)
}
