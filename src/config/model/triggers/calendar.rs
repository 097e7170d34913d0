//! The times that a cron expression gives in a time zone, those included at which clocks are put forward or back.
//!
//! An expression that names hours means the clock on the wall: each of its times comes once. One that does not exist on a day
//! comes when the clock is put forward, one that exists twice comes the first time. An expression for every hour means time
//! that passes: it goes through an hour that comes twice both times, and knows nothing of one that does not come.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::{
    Cron,
    errors::CronError,
    parser::{CronParser, Year},
};
use thiserror::Error;

/// Fields of an expression, of which the first may be left out.
const FIELDS: [&str; 6] = ["second", "minute", "hour", "day of the month", "month", "day of the week"];

/// From there on it is looked for a first time of an expression: 2000-01-01. Calendars repeat themselves every 400 years, and
/// it is looked for longer than that.
const FIRST: u64 = 946_684_800;

/// No zone has ever skipped more than a day.
const LONGEST_GAP: TimeDelta = TimeDelta::hours(26);

/// A cron expression in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// The expression as it was written.
    expression: String,
    cron: Cron,
    zone: Tz,
}

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarError {
    /// It has too few or too many fields.
    #[error("it has {0} fields: a sixth in front of the five of cron is the second")]
    Fields(usize),
    /// A field does not say what it should.
    #[error("{0}")]
    Field(String),
    /// There is no such time.
    #[error("this time never comes")]
    Never,
}

impl Calendar {
    /// Reads an expression.
    ///
    /// # Errors
    /// It cannot be read, or gives no time at all.
    pub fn new(expression: &str, zone: Tz) -> Result<Self, CalendarError> {
        let fields = expression.split_whitespace().count();
        if ![FIELDS.len() - 1, FIELDS.len()].contains(&fields) && !expression.trim().starts_with('@') {
            return Err(CalendarError::Fields(fields));
        }
        let cron = parse(expression).map_err(|error| CalendarError::Field(told(expression, error)))?;
        let calendar = Self { expression: expression.to_owned(), cron, zone };
        match calendar.after(UNIX_EPOCH + Duration::from_secs(FIRST)) {
            Some(_) => Ok(calendar),
            None => Err(CalendarError::Never),
        }
    }

    /// The first time after a moment.
    #[must_use]
    pub fn after(&self, moment: SystemTime) -> Option<SystemTime> {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let moment = DateTime::from_timestamp(since.as_secs().try_into().ok()?, since.subsec_nanos())?;
        let next = if self.is_hourly() { self.passing(moment) } else { self.on_the_wall(moment) }?;
        UNIX_EPOCH.checked_add(Duration::from_secs(next.timestamp().try_into().ok()?))
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Name of the zone.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// Whether it is for every hour, so that it follows time that passes instead of the clock on the wall.
    #[must_use]
    pub fn is_hourly(&self) -> bool {
        (0..24).all(|hour| self.cron.pattern.hour_match(hour).unwrap_or_default())
    }

    fn passing(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.cron.find_next_occurrence(&moment.with_timezone(&self.zone), false);
        // It gives up after thousands of years.
        next.ok().map(|next| next.with_timezone(&Utc))
    }

    fn on_the_wall(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = moment.with_timezone(&self.zone).naive_local();
        loop {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let next = self.moment_of(wall)?;
            // In an hour that comes a second time, what it says came the first time.
            if next > moment {
                return Some(next);
            }
        }
    }

    /// When the clock on the wall says so: the first time, or the moment from which on it says more.
    fn moment_of(&self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        let there = |wall: NaiveDateTime| match self.zone.from_local_datetime(&wall) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.with_timezone(&Utc)),
            LocalResult::None => None,
        };
        if let Some(at) = there(wall) {
            return Some(at);
        }
        let (mut none, mut some) = (0, LONGEST_GAP.num_seconds());
        while some - none > 1 {
            let middle = none + (some - none) / 2;
            match there(wall + TimeDelta::seconds(middle)) {
                Some(_) => some = middle,
                None => none = middle,
            }
        }
        there(wall + TimeDelta::seconds(some))
    }
}

fn parse(expression: &str) -> Result<Cron, CronError> {
    CronParser::builder().year(Year::Disallowed).build().parse(expression)
}

/// What the parser says, with the field that it says it of: the first that is wrong also among fields that are not.
fn told(expression: &str, error: CronError) -> String {
    let why = match error {
        CronError::InvalidPattern(why) | CronError::IllegalCharacters(why) | CronError::ComponentError(why) => why,
        other => other.to_string(),
    };
    let why = why.trim_start_matches("CronPattern contains ").trim_end_matches('.').to_lowercase();
    let written: Vec<&str> = expression.split_whitespace().collect();
    let names = FIELDS.iter().skip(FIELDS.len().saturating_sub(written.len()));
    let alone = |name: &str, field: &str| FIELDS.map(|other| if other == name { field } else { "*" }).join(" ");
    match names.zip(written).find(|(name, field)| parse(&alone(name, field)).is_err()) {
        Some((name, field)) => format!("the {name} `{field}`: {why}"),
        None => why,
    }
}

#[cfg(test)]
mod tests;
