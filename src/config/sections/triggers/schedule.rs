//! A `schedule` trigger.

use std::time::Duration;

use super::{Mentions, either, target};
use crate::config::{
    bounds, defaults,
    model::{Overlap, ScheduleSettings, When},
    reader::{Node, Section},
};

const OVERLAPS: &[(&str, Overlap)] = &[("skip", Overlap::Skip), ("queue", Overlap::Queue)];

/// Reads what belongs to the type.
pub(super) fn read<'d>(section: &Section<'d>, mentions: &mut Mentions<'d>) -> ScheduleSettings {
    ScheduleSettings {
        target: target(section, mentions),
        when: when(section),
        payload: section.or("payload", String::new(), |node| node.text("a text").map(str::to_owned)),
        overlap: section.or("overlap", Overlap::Skip, |node| node.choice(OVERLAPS)),
        jitter: section.or("jitter", Duration::ZERO, |node| node.time(&bounds::SCHEDULE_JITTER)),
        run_on_start: section.or("run_on_start", false, Node::flag),
        catch_up: section.or("catch_up", false, Node::flag),
    }
}

fn when(section: &Section<'_>) -> When {
    let timezone = section.get("timezone");
    let zone = timezone.as_ref().and_then(|node| node.text("the name of a time zone").map(str::to_owned));
    let cron = |node: &Node<'_>| {
        let expression = node.text("a cron expression")?.to_owned();
        let timezone = zone.unwrap_or_else(|| defaults::SCHEDULE_TIMEZONE.to_owned());
        Some(When::Cron { expression, timezone })
    };
    let read = match (section.get("every"), section.get("cron")) {
        (Some(every), cron) => {
            if let Some(cron) = cron {
                either(&cron, "every");
            }
            if let Some(timezone) = timezone {
                either(&timezone, "every");
            }
            every.time(&bounds::SCHEDULE_EVERY).map(When::Every)
        }
        (None, Some(node)) => cron(&node),
        (None, None) => {
            section
                .require("cron", "when: a cron expression such as \"0 30 2 * * *\", or `every`, a time between calls");
            None
        }
    };
    read.unwrap_or(When::Every(Duration::MAX))
}
