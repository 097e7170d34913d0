//! A `schedule` trigger.

use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use super::{Mentions, either, target};
use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind::BadValue,
    model::{Calendar, Overlap, ScheduleSettings, When},
    reader::{Node, Section, did_you_mean},
};

const OVERLAPS: &[(&str, Overlap)] = &[("skip", Overlap::Skip), ("queue", Overlap::Queue)];

const EXPRESSION: &str =
    "a cron expression of second, minute, hour, day, month and weekday, such as \"0 30 2 * * *\" for half past two";

const ZONE: &str = "the name of a time zone, such as \"Europe/Berlin\" or \"UTC\"";

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
    let read = match (section.get("every"), section.get("cron")) {
        (Some(every), cron) => {
            for other in [cron, timezone].iter().flatten() {
                either(other, "every");
            }
            every.time(&bounds::SCHEDULE_EVERY).map(When::Every)
        }
        (None, Some(node)) => {
            let zone = timezone.map_or(Some(defaults::SCHEDULE_TIMEZONE), |node| zone(&node));
            // In whatever zone, so that both are told if both are wrong.
            calendar(&node, zone.unwrap_or(defaults::SCHEDULE_TIMEZONE)).map(|calendar| When::Cron(Box::new(calendar)))
        }
        (None, None) => {
            section
                .require("cron", "when: a cron expression such as \"0 30 2 * * *\", or `every`, a time between calls");
            None
        }
    };
    read.unwrap_or(When::Every(Duration::MAX))
}

fn zone(node: &Node<'_>) -> Option<Tz> {
    let written = node.text(ZONE)?;
    match written.parse() {
        Ok(zone) => Some(zone),
        Err(_) => node.bad(BadValue, ZONE, did_you_mean(written, TZ_VARIANTS.iter().map(|zone| zone.name()))),
    }
}

fn calendar(node: &Node<'_>, zone: Tz) -> Option<Calendar> {
    match Calendar::new(node.text(EXPRESSION)?, zone) {
        Ok(calendar) => Some(calendar),
        Err(error) => node.bad(BadValue, EXPRESSION, Some(error.to_string())),
    }
}
