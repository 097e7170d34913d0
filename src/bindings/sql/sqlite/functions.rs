//! Functions of SQLite that take time by the product of what they are given, made anew so that they take it by the sum.
//!
//! SQLite looks at the deadline between the steps of a statement and never within one: its own `instr` of two large values
//! would keep a thread for hours, and the binding has only a few. The results are the same.

use std::{borrow::Cow, collections::HashSet};

use memchr::memmem;
use rusqlite::{
    Connection, Error, ffi,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};

/// Digits that SQLite writes of a real number.
const DIGITS: i32 = 15;

/// Puts them in the place of SQLite's own.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("instr", 2, flags, |context| instr(context))?;
    connection.create_scalar_function("replace", 3, flags, |context| replace(context))?;
    for (name, left, right) in [("trim", true, true), ("ltrim", true, false), ("rtrim", false, true)] {
        connection.create_scalar_function(name, 1, flags, move |context| trim(context, left, right))?;
        connection.create_scalar_function(name, 2, flags, move |context| trim(context, left, right))?;
    }
    Ok(())
}

fn instr(context: &Context<'_>) -> rusqlite::Result<Option<i64>> {
    let (what, sought) = (context.get_raw(0), context.get_raw(1));
    let in_bytes = matches!((what, sought), (ValueRef::Blob(_), ValueRef::Blob(_)));
    let (Some(what), Some(sought)) = (bytes(what), bytes(sought)) else { return Ok(None) };
    let begins = |byte: &u8| (*byte & 0xC0) != 0x80;
    let found = match sought.first() {
        // What begins within a character begins nowhere but at the start.
        Some(first) if !in_bytes && !begins(first) => what.starts_with(&sought).then_some(0),
        _ => memmem::find(&what, &sought),
    };
    let Some(at) = found else { return Ok(Some(0)) };
    // Of a character only the first byte counts.
    let passed = what.get(1..=at).unwrap_or_default();
    let count = if in_bytes { at } else { passed.iter().filter(|byte| begins(byte)).count() };
    Ok(i64::try_from(count + 1).ok())
}

fn replace(context: &Context<'_>) -> rusqlite::Result<Value> {
    let (Some(what), Some(old)) = (bytes(context.get_raw(0)), bytes(context.get_raw(1))) else {
        return Ok(Value::Null);
    };
    // What begins with NUL is empty to SQLite; there the third value is not looked at.
    let nothing = old.first().is_none_or(|byte| *byte == 0);
    let new = bytes(context.get_raw(2));
    let (false, Some(new)) = (nothing, new) else {
        return if nothing { text(what.into_owned()) } else { Ok(Value::Null) };
    };
    let found = memmem::find_iter(&what, &*old).count();
    let length = what.len() - found * old.len() + found.saturating_mul(new.len());
    if length > super::file::MAX_LENGTH.unsigned_abs() as usize {
        return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None));
    }
    let (mut replaced, mut end) = (Vec::with_capacity(length), 0);
    for at in memmem::find_iter(&what, &*old) {
        replaced.extend_from_slice(what.get(end..at).unwrap_or_default());
        replaced.extend_from_slice(&new);
        end = at + old.len();
    }
    replaced.extend_from_slice(what.get(end..).unwrap_or_default());
    text(replaced)
}

fn text(bytes: Vec<u8>) -> rusqlite::Result<Value> {
    String::from_utf8(bytes).map(Value::Text).map_err(|_bytes| no_text("replace"))
}

fn trim(context: &Context<'_>, left: bool, right: bool) -> rusqlite::Result<Option<String>> {
    let given = if context.len() > 1 { bytes(context.get_raw(1)) } else { Some(Cow::Borrowed(b" ".as_slice())) };
    let (Some(what), Some(given)) = (bytes(context.get_raw(0)), given) else { return Ok(None) };
    let (Ok(mut what), Ok(given)) = (std::str::from_utf8(&what), std::str::from_utf8(&given)) else {
        return Err(no_text("trim"));
    };
    // To SQLite the set ends at NUL.
    let given: HashSet<char> = given.chars().take_while(|c| *c != '\0').collect();
    if left {
        what = what.trim_start_matches(|c| given.contains(&c));
    }
    if right {
        what = what.trim_end_matches(|c| given.contains(&c));
    }
    Ok(Some(what.to_owned()))
}

fn no_text(function: &str) -> Error {
    Error::UserFunctionError(format!("{function}() is of text in UTF-8, and this is none").into())
}

/// The bytes of a value that is taken as text; none of NULL.
fn bytes(value: ValueRef<'_>) -> Option<Cow<'_, [u8]>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        ValueRef::Real(number) => Some(Cow::Owned(real(number).into_bytes())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Cow::Borrowed(bytes)),
    }
}

/// A number as SQLite writes it: 15 digits without the zeros at their end, and always a point.
fn real(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    let rounded = format!("{number:.0$e}", 14);
    let exponent = rounded.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or_default();
    if (-4..=DIGITS).contains(&exponent) {
        let number = rounded.parse::<f64>().unwrap_or(number);
        let places = usize::try_from(DIGITS - 1 - exponent).unwrap_or_default();
        return with_point(&format!("{number:.places$}"));
    }
    let mantissa = rounded.split_once('e').map_or("", |(mantissa, _)| mantissa);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", with_point(mantissa), exponent.unsigned_abs())
}

fn with_point(digits: &str) -> String {
    match digits.split_once('.') {
        None => format!("{digits}.0"),
        Some((whole, places)) => {
            let places = places.trim_end_matches('0');
            format!("{whole}.{}", if places.is_empty() { "0" } else { places })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::{Duration, Instant};

    use super::*;

    const VALUES: [&str; 24] = [
        "NULL",
        "''",
        "'a'",
        "'äöü'",
        "'ö'",
        "'  a b  '",
        "' '",
        "'aaa'",
        "'aa'",
        "x''",
        "x'c3b6'",
        "x'b6'",
        "x'00'",
        "'ab' || char(0) || 'c'",
        "char(0)",
        "12",
        "-1",
        "2.0",
        "0.1",
        "1e20",
        "1.5e-7",
        "-123456789.25",
        "1e15",
        "9e999",
    ];

    fn quoted(connection: &Connection, sql: &str) -> Option<String> {
        let quoted = connection.query_row(&format!("SELECT quote({sql}) || typeof({sql})"), [], |row| row.get(0));
        quoted.ok()
    }

    #[test]
    fn the_functions_answer_as_those_of_sqlite() {
        let (own, theirs) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        register(&own).unwrap();
        for one in VALUES {
            let mut calls: Vec<_> = ["trim", "ltrim", "rtrim"].iter().map(|name| format!("{name}({one})")).collect();
            for two in VALUES {
                for name in ["instr", "trim", "ltrim", "rtrim"] {
                    calls.push(format!("{name}({one}, {two})"));
                }
                calls.extend(["'xyz'", "''", "NULL", "7"].map(|new| format!("replace({one}, {two}, {new})")));
            }
            for call in calls {
                // What is not UTF-8 is an error here, and other bytes there.
                let Some(own) = quoted(&own, &call) else {
                    assert!(call.contains("b6'"), "{call}");
                    continue;
                };
                assert_eq!(Some(own), quoted(&theirs, &call), "{call}");
            }
        }
    }

    #[test]
    fn the_largest_values_take_no_longer_than_it_takes_to_read_them() {
        let connection = Connection::open_in_memory().unwrap();
        register(&connection).unwrap();
        let started = Instant::now();
        for sql in [
            "SELECT instr(zeroblob(4000000), CAST(zeroblob(2000000) || x'01' AS BLOB))",
            "SELECT length(replace(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1', ''))",
            "SELECT length(trim(hex(zeroblob(500000)), hex(zeroblob(500000)) || 'a'))",
            "SELECT length(trim(hex(zeroblob(500000)), replace(hex(zeroblob(500000)), '0', 'b') || '0'))",
        ] {
            connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    }
}
