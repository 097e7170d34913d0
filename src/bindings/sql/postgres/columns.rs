//! Columns of PostgreSQL as values: what JSON and MessagePack have is kept, the rest of the known types is text in the
//! server's own notation, and what is not known is an error that says to cast it.

use std::{error::Error, fmt::Write};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use tokio_postgres::{
    Column, Row,
    types::{FromSql, Kind, Type},
};

use crate::{
    bindings::{
        payload::{bad_request, cut},
        sql::value::Value,
    },
    host::HostCallError,
};

/// Whether all columns can be read.
///
/// # Errors
/// `bad_request`, naming the column that cannot, and its type.
pub(super) fn check(columns: &[Column]) -> Result<(), HostCallError> {
    match columns.iter().find(|column| !is_known(column.type_())) {
        None => Ok(()),
        Some(column) => Err(bad_request(format!(
            "column `{}` has the type {}, which has no place in an answer: cast it, such as ::text",
            cut(column.name()),
            column.type_()
        ))),
    }
}

fn is_known(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Array(element) => !matches!(element.kind(), Kind::Array(_)) && is_known(element),
        Kind::Domain(inner) => is_known(inner),
        Kind::Enum(_) => true,
        _ => KNOWN.contains(ty),
    }
}

const KNOWN: [Type; 22] = [
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::OID,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::NAME,
    Type::UNKNOWN,
    Type::BYTEA,
    Type::JSON,
    Type::JSONB,
    Type::UUID,
    Type::NUMERIC,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::DATE,
    Type::TIME,
    Type::VOID,
];

/// The values of a row, whose columns were checked.
pub(super) fn read(row: &Row) -> Result<Vec<Value>, tokio_postgres::Error> {
    (0..row.len()).map(|index| row.try_get::<_, Option<Cell>>(index).map(unwrap)).collect()
}

fn unwrap(cell: Option<Cell>) -> Value {
    cell.map_or(Value::Null, |cell| cell.0)
}

/// A value that is there.
struct Cell(Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match ty.kind() {
            Kind::Domain(inner) => Self::from_sql(inner, raw),
            Kind::Array(_) => {
                let values = Vec::<Option<Self>>::from_sql(ty, raw)
                    .map_err(|error| format!("{error}: only arrays of one dimension have a place in an answer"))?;
                Ok(Self(Value::List(values.into_iter().map(unwrap).collect())))
            }
            Kind::Enum(_) => Ok(Self(Value::Text(str::from_utf8(raw)?.to_owned()))),
            _ => simple(ty, raw).map(Self),
        }
    }

    fn accepts(ty: &Type) -> bool {
        is_known(ty)
    }
}

fn simple(ty: &Type, raw: &[u8]) -> Result<Value, Box<dyn Error + Sync + Send>> {
    Ok(match *ty {
        Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
        Type::INT2 => Value::Int(i64::from(i16::from_sql(ty, raw)?)),
        Type::INT4 => Value::Int(i64::from(i32::from_sql(ty, raw)?)),
        Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
        Type::OID => Value::Int(i64::from(u32::from_sql(ty, raw)?)),
        Type::FLOAT4 => Value::Float(shortest(f32::from_sql(ty, raw)?)),
        Type::FLOAT8 => Value::Float(f64::from_sql(ty, raw)?),
        Type::BYTEA => Value::Bytes(Bytes::copy_from_slice(raw)),
        Type::JSONB => Value::Text(str::from_utf8(raw.get(1..).unwrap_or_default())?.to_owned()),
        Type::UUID => Value::Text(uuid::Uuid::from_slice(raw)?.to_string()),
        Type::NUMERIC => Value::Text(numeric(raw).ok_or("a number that cannot be read")?),
        Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::DATE | Type::TIME => Value::Text(moment(ty, raw)?),
        Type::VOID => Value::Null,
        _ => Value::Text(str::from_utf8(raw)?.to_owned()),
    })
}

/// The number that has the same shortest text: 0.1 stays 0.1.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or_else(|_never| f64::from(value))
}

/// Dates and times as RFC 3339 writes them, which PostgreSQL reads too.
fn moment(ty: &Type, raw: &[u8]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let infinite = match raw {
        [0x7f, rest @ ..] if *ty != Type::TIME && rest.iter().all(|&byte| byte == 0xff) => Some("infinity"),
        [0x80, rest @ ..] if *ty != Type::TIME && rest.iter().all(|&byte| byte == 0) => Some("-infinity"),
        _ => None,
    };
    if let Some(infinite) = infinite {
        return Ok(infinite.to_owned());
    }
    Ok(match *ty {
        Type::TIMESTAMPTZ => DateTime::<Utc>::from_sql(ty, raw)?.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        Type::TIMESTAMP => NaiveDateTime::from_sql(ty, raw)?.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        Type::DATE => NaiveDate::from_sql(ty, raw)?.to_string(),
        _ => NaiveTime::from_sql(ty, raw)?.format("%H:%M:%S%.f").to_string(),
    })
}

/// A number of any precision: groups of four decimal digits, the weight of the first, a sign, and how many digits stand
/// behind the point.
fn numeric(raw: &[u8]) -> Option<String> {
    let mut words = raw.chunks_exact(2).map(|word| Some(u16::from_be_bytes(word.try_into().ok()?)));
    let mut next = || words.next().flatten();
    let (count, weight, sign, scale) = (next()?, next()?.cast_signed(), next()?, usize::from(next()?));
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let mut groups = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        groups.push(next()?);
    }
    let group = |position: i32| -> u16 {
        let index = i32::from(weight) - position;
        usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for position in (0..=i32::from(weight).max(0)).rev() {
        // Writing into a text does not fail.
        write!(text, "{:04}", group(position)).ok();
    }
    let whole = text.trim_start_matches('0');
    let mut number = String::from(if sign == 0x4000 { "-" } else { "" });
    number.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        let mut position = -1;
        while fraction.len() < scale {
            write!(fraction, "{:04}", group(position)).ok();
            position -= 1;
        }
        fraction.truncate(scale);
        number.push('.');
        number.push_str(&fraction);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn numbers_of_any_precision_keep_all_their_digits() {
        for (words, expected) in [
            (&[0, 0, 0, 0][..], "0"),
            (&[0, 0, 0, 2], "0.00"),
            (&[1, 0, 0, 0, 5], "5"),
            (&[2, 0, 0x4000, 2, 12, 3400], "-12.34"),
            (&[1, 1, 0, 0, 7], "70000"),
            (&[1, 0xffff, 0, 4, 1], "0.0001"),
            (&[1, 0xfffe, 0, 8, 1], "0.00000001"),
            (&[3, 1, 0, 1, 1, 0, 5000], "10000.5"),
            (&[0, 0, 0xc000, 0], "NaN"),
        ] {
            assert_eq!(numeric(&raw(words)).as_deref(), Some(expected), "{words:?}");
        }
        assert_eq!(numeric(&raw(&[9, 0, 0, 0])), None);
    }
}
