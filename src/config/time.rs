//! Times as the configuration writes them: whole numbers with their units. This file alone decides what a time may look like.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// Units that can be written, the largest first, with their milliseconds.
const UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time, written as `"250ms"`, `"5s"` or `"1m 30s"`.
///
/// ```
/// use wapcd::config::TimeSpan;
/// let time: TimeSpan = "1m 30s".parse()?;
/// assert_eq!(time.duration().as_secs(), 90);
/// assert!("5".parse::<TimeSpan>().is_err());
/// # Ok::<(), wapcd::config::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(Duration);

/// Why a text is not a time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// A number without a unit.
    #[error("a time needs its unit: write \"{number}ms\", \"{number}s\" or \"{number}m\"")]
    NoUnit {
        /// The number.
        number: String,
    },
    /// No number where one must be.
    #[error("a time begins with a whole number")]
    NoNumber,
    /// A minus sign in front.
    #[error("a time cannot be negative")]
    Negative,
    /// A decimal point.
    #[error("a time is made of whole numbers: use a smaller unit instead of a fraction")]
    Fraction,
    /// A unit that does not exist.
    #[error("`{unit}` is not a unit of time: use ms, s, m, h or d")]
    UnknownUnit {
        /// What stood in the unit's place.
        unit: String,
    },
    /// Parts that do not go from large to small.
    #[error("the parts of a time go from the largest unit to the smallest, each once, as in \"1h 30m\"")]
    Order,
    /// More milliseconds than 64 bits count.
    #[error("the time is longer than can be counted")]
    TooLarge,
}

impl TimeSpan {
    /// Makes a time of this length.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The length of time.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for TimeSpan {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let mut rest = text.trim_matches(' ');
        let mut units = UNITS;
        let mut total = 0_u64;
        if rest.is_empty() {
            return Err(TimeError::NoNumber);
        }
        while !rest.is_empty() {
            let (number, unit, after) = part(rest)?;
            let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(TimeError::UnknownUnit { unit: unit.to_owned() });
            };
            let place = units.iter().position(|(name, _)| *name == unit).ok_or(TimeError::Order)?;
            units = units.get(place + 1..).unwrap_or_default();
            let milliseconds = number.checked_mul(*factor).ok_or(TimeError::TooLarge)?;
            total = total.checked_add(milliseconds).ok_or(TimeError::TooLarge)?;
            rest = after.trim_start_matches(' ');
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

/// Takes one number with its unit from the front of a text that is not empty.
fn part(text: &str) -> Result<(u64, &str, &str), TimeError> {
    if text.starts_with('-') {
        return Err(TimeError::Negative);
    }
    let (number, rest) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    if number.is_empty() {
        return Err(TimeError::NoNumber);
    }
    if rest.starts_with(['.', ',']) {
        return Err(TimeError::Fraction);
    }
    let rest = rest.trim_start_matches(' ');
    let (unit, after) = rest.split_at(rest.find(|c: char| c == ' ' || c.is_ascii_digit()).unwrap_or(rest.len()));
    if unit.is_empty() {
        return Err(TimeError::NoUnit { number: number.to_owned() });
    }
    // A number of digits alone can only fail to parse by being too large.
    let number = number.parse().ok().ok_or(TimeError::TooLarge)?;
    Ok((number, unit, after))
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        let mut space = "";
        for (unit, milliseconds) in UNITS {
            if rest >= *milliseconds {
                write!(f, "{space}{}{unit}", rest / milliseconds)?;
                rest %= milliseconds;
                space = " ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_has_its_value() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("250 ms", 250),
            ("5s", 5_000),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            (" 1h  2m 3s 4ms ", 3_723_004),
            ("18446744073709551615ms", u64::MAX),
        ] {
            let time = text.parse::<TimeSpan>().unwrap();
            assert_eq!(time.duration(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_time_is_refused_with_its_reason() {
        let unit = |unit: &str| TimeError::UnknownUnit { unit: unit.to_owned() };
        let no_unit = |number: &str| TimeError::NoUnit { number: number.to_owned() };
        for (text, error) in [
            ("5", no_unit("5")),
            ("0", no_unit("0")),
            ("1m 30", no_unit("30")),
            ("5 5s", no_unit("5")),
            ("", TimeError::NoNumber),
            ("s", TimeError::NoNumber),
            ("+1s", TimeError::NoNumber),
            ("never", TimeError::NoNumber),
            ("-1s", TimeError::Negative),
            ("1m -3s", TimeError::Negative),
            ("1.5s", TimeError::Fraction),
            ("5 sec", unit("sec")),
            ("5S", unit("S")),
            ("5us", unit("us")),
            ("30s 1m", TimeError::Order),
            ("1s 1s", TimeError::Order),
            ("18446744073709551616ms", TimeError::TooLarge),
            ("18446744073709551615s", TimeError::TooLarge),
            ("18446744073709551s 999ms", TimeError::TooLarge),
        ] {
            assert_eq!(text.parse::<TimeSpan>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_displayed_time_reads_back_as_itself(milliseconds: u64) {
            let time = TimeSpan::new(Duration::from_millis(milliseconds));
            prop_assert_eq!(time.to_string().parse::<TimeSpan>(), Ok(time));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            text.parse::<TimeSpan>().ok();
        }
    }
}
