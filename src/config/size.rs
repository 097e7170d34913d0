//! Sizes as the configuration writes them: a whole number and its unit. This file alone decides what a size may look like.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// One KiB in bytes.
pub(super) const KIB: u64 = 1 << 10;
/// One MiB in bytes.
pub(super) const MIB: u64 = 1 << 20;
/// One GiB in bytes.
pub(super) const GIB: u64 = 1 << 30;
/// One TiB in bytes.
pub(super) const TIB: u64 = 1 << 40;

/// Units that can be written, with their bytes. Both families are there because disks and network quotas count in thousands.
const UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", KIB),
    ("MiB", MIB),
    ("GiB", GIB),
    ("TiB", TIB),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

/// A number of bytes, written as `"64 MiB"`.
///
/// ```
/// use wapcd::config::Size;
/// let size: Size = "512 KiB".parse()?;
/// assert_eq!(size.bytes(), 524_288);
/// assert!("64".parse::<Size>().is_err());
/// # Ok::<(), wapcd::config::SizeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SizeError {
    /// A number alone.
    #[error("a size needs its unit: write \"{number} B\", \"{number} KiB\" or \"{number} MiB\"")]
    NoUnit {
        /// The number.
        number: String,
    },
    /// No number in front.
    #[error("a size begins with a whole number")]
    NoNumber,
    /// A minus sign in front.
    #[error("a size cannot be negative")]
    Negative,
    /// A decimal point.
    #[error("a size is a whole number: use a smaller unit instead of a fraction")]
    Fraction,
    /// A unit that does not exist.
    #[error("`{unit}` is not a unit of size: use B, KiB, MiB, GiB, TiB, kB, MB, GB or TB")]
    UnknownUnit {
        /// What stood in the unit's place.
        unit: String,
    },
    /// More bytes than 64 bits count.
    #[error("the size is larger than this machine can count")]
    TooLarge,
}

impl Size {
    /// Makes a size of so many bytes.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let text = text.trim_matches(' ');
        if text.starts_with('-') {
            return Err(SizeError::Negative);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at(digits);
        let unit = rest.trim_start_matches(' ');
        if number.is_empty() {
            return Err(SizeError::NoNumber);
        }
        if unit.is_empty() {
            return Err(SizeError::NoUnit { number: number.to_owned() });
        }
        if rest.starts_with(['.', ',']) {
            return Err(SizeError::Fraction);
        }
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(SizeError::UnknownUnit { unit: unit.to_owned() });
        };
        // A number of digits alone can only fail to parse by being too large.
        let number: u64 = number.parse().ok().ok_or(SizeError::TooLarge)?;
        number.checked_mul(*factor).map(Self).ok_or(SizeError::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
        match whole.into_iter().find(|(bytes, _)| self.0 > 0 && self.0.is_multiple_of(*bytes)) {
            Some((bytes, unit)) => write!(f, "{} {unit}", self.0 / bytes),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_has_its_value() {
        for (text, bytes) in [
            ("0 B", 0),
            ("100 B", 100),
            ("512 KiB", 524_288),
            ("64 MiB", 67_108_864),
            ("64MiB", 67_108_864),
            ("  1   GiB ", 1_073_741_824),
            ("2 TiB", 2_199_023_255_552),
            ("3 kB", 3_000),
            ("3 KB", 3_000),
            ("4 MB", 4_000_000),
            ("5 GB", 5_000_000_000),
            ("6 TB", 6_000_000_000_000),
            ("18446744073709551615 B", u64::MAX),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_size_is_refused_with_its_reason() {
        let unit = |unit: &str| SizeError::UnknownUnit { unit: unit.to_owned() };
        for (text, error) in [
            ("64", SizeError::NoUnit { number: "64".to_owned() }),
            ("0", SizeError::NoUnit { number: "0".to_owned() }),
            ("", SizeError::NoNumber),
            ("MiB", SizeError::NoNumber),
            ("+1 MiB", SizeError::NoNumber),
            ("-1 MiB", SizeError::Negative),
            ("1.5 MiB", SizeError::Fraction),
            ("1,5 MiB", SizeError::Fraction),
            ("64 mib", unit("mib")),
            ("64 M", unit("M")),
            ("64 Mb", unit("Mb")),
            ("64 MiB MiB", unit("MiB MiB")),
            ("1 MiB 2 KiB", unit("MiB 2 KiB")),
            ("1_000 B", unit("_000 B")),
            ("64\u{a0}MiB", unit("\u{a0}MiB")),
            ("18446744073709551616 B", SizeError::TooLarge),
            ("99999999999 TiB", SizeError::TooLarge),
        ] {
            assert_eq!(text.parse::<Size>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_told_how_to_be_written() {
        let error = "64".parse::<Size>().unwrap_err();
        assert_eq!(error.to_string(), "a size needs its unit: write \"64 B\", \"64 KiB\" or \"64 MiB\"");
    }

    proptest! {
        #[test]
        fn a_displayed_size_reads_back_as_itself(bytes: u64) {
            prop_assert_eq!(Size::new(bytes).to_string().parse::<Size>(), Ok(Size::new(bytes)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            text.parse::<Size>().ok();
        }
    }
}
