//! Reads plain values out of nodes: texts, numbers, sizes, times, choices, paths, each within its bounds.

use std::{
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeValue;

use super::{Node, did_you_mean};
use crate::config::{
    error::ConfigErrorKind::{BadValue, OutOfRange, WrongType},
    size::Size,
    time::TimeSpan,
};

impl<'d> Node<'d> {
    /// A text.
    pub(in crate::config) fn text(&self, expected: &str) -> Option<&'d str> {
        match self.value() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(expected),
        }
    }

    /// A text that can be handed to the operating system or a guest as a C string.
    pub(in crate::config) fn text_without_nul(&self, expected: &str) -> Option<&'d str> {
        let text = self.text(expected)?;
        if text.contains('\0') {
            self.bad(BadValue, format!("{expected} without a NUL character"), None)
        } else {
            Some(text)
        }
    }

    /// `true` or `false`.
    pub(in crate::config) fn flag(&self) -> Option<bool> {
        match self.value() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// A whole number within its bounds.
    pub(in crate::config) fn count(&self, bounds: &RangeInclusive<u32>) -> Option<u32> {
        self.whole_number(bounds, format!("a number {}", within(bounds)))
    }

    /// A whole number within its bounds, or a word that stands for a number: the inner `None`.
    pub(in crate::config) fn count_or_word(&self, bounds: &RangeInclusive<u32>, word: &str) -> Option<Option<u32>> {
        match self.value() {
            DeValue::String(text) if text == word => Some(None),
            DeValue::String(text) if let Some(hint) = did_you_mean(text, [word]) => {
                self.bad(BadValue, format!("a number {} or \"{word}\"", within(bounds)), Some(hint))
            }
            _ => self.whole_number(bounds, format!("a number {} or \"{word}\"", within(bounds))).map(Some),
        }
    }

    fn whole_number(&self, bounds: &RangeInclusive<u32>, expected: String) -> Option<u32> {
        let number = match self.value() {
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) if text.parse::<i128>().is_ok() => {
                return self.bad(WrongType, expected, Some(format!("a number is written without quotes: {text}")));
            }
            _ => return self.wrong_type(expected),
        };
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => self.bad(OutOfRange, expected, None),
        }
    }

    /// A number with or without a fraction, within its bounds and not NaN.
    pub(in crate::config) fn ratio(&self, bounds: &RangeInclusive<f64>) -> Option<f64> {
        let expected = format!("a number {}", within(bounds));
        let number: Option<f64> = match self.value() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number as f64)
            }
            _ => return self.wrong_type(expected),
        };
        match number {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => self.bad(OutOfRange, expected, None),
        }
    }

    /// A size with its unit, within its bounds, in bytes.
    pub(in crate::config) fn size(&self, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let range = Size::new(*bounds.start())..=Size::new(*bounds.end());
        self.with_unit(&range, "a size with its unit").map(Size::bytes)
    }

    /// A time with its unit, within its bounds.
    pub(in crate::config) fn time(&self, bounds: &RangeInclusive<Duration>) -> Option<Duration> {
        self.time_or(bounds, "")
    }

    /// A time with its unit, within its bounds, where a word could stand instead: `or` names it.
    pub(in crate::config) fn time_or(&self, bounds: &RangeInclusive<Duration>, or: &str) -> Option<Duration> {
        let range = TimeSpan::new(*bounds.start())..=TimeSpan::new(*bounds.end());
        self.with_unit(&range, &format!("{or}a time with its unit")).map(TimeSpan::duration)
    }

    fn with_unit<T>(&self, bounds: &RangeInclusive<T>, what: &str) -> Option<T>
    where
        T: std::str::FromStr<Err: Display> + Display + PartialOrd,
    {
        let expected = format!("{what}, {}", within(bounds));
        let (text, kind) = match self.value() {
            DeValue::String(text) => (text.to_string(), BadValue),
            // A bare number is read like a text without a unit, so that its hint shows the very number with one.
            DeValue::Integer(number) => (number.to_string(), WrongType),
            _ => return self.wrong_type(expected),
        };
        match text.parse::<T>() {
            Ok(value) if bounds.contains(&value) => Some(value),
            Ok(_) => self.bad(OutOfRange, expected, None),
            Err(error) => self.bad(kind, expected, Some(error.to_string())),
        }
    }

    /// One of some words.
    pub(in crate::config) fn choice<T: Copy>(&self, choices: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let expected = words.join(" or ");
        let written = self.text(&expected)?;
        match choices.iter().find(|(word, _)| *word == written) {
            Some((_, value)) => Some(*value),
            None => self.bad(BadValue, expected, did_you_mean(written, choices.iter().map(|(word, _)| *word))),
        }
    }

    /// A path, made absolute against a directory.
    pub(in crate::config) fn path_in(&self, directory: &Path) -> Option<PathBuf> {
        let text = self.text_without_nul("a path")?;
        if text.is_empty() {
            return self.bad(BadValue, "a path", None);
        }
        Some(directory.join(text))
    }
}

fn within<T: Display>(bounds: &RangeInclusive<T>) -> String {
    format!("from {} to {}", bounds.start(), bounds.end())
}
