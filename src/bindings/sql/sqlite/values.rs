//! Values into SQLite and out of it.

use bytes::Bytes;
use rusqlite::{Statement, types::ToSqlOutput, types::ValueRef};

use crate::{
    bindings::{
        payload::{bad_request, cut},
        sql::value::Value,
    },
    host::HostCallError,
};

/// Binds the parameters: by the numbers of `$1`, `$2`, or in their order to `?`.
pub(super) fn bind(statement: &mut Statement<'_>, params: &[Value]) -> Result<(), Bind> {
    let (count, mut numbers) = (statement.parameter_count(), Vec::new());
    for index in 1..=count {
        numbers.push(number(statement.parameter_name(index), index)?);
    }
    let dollars = (1..=count).filter(|&index| statement.parameter_name(index).is_some_and(|it| it.starts_with('$')));
    if !matches!(dollars.count(), 0) && (1..=count).any(|index| !is_dollar(statement.parameter_name(index))) {
        return Err(refused("`$1` and `?` do not go together in one statement"));
    }
    let most = numbers.iter().copied().max().unwrap_or(0);
    if most != params.len() {
        return Err(refused(format!("field `params`: there are {}, the statement takes {most}", params.len())));
    }
    if let Some(missing) = (1..=most).find(|number| !numbers.contains(number)) {
        return Err(refused(format!("the statement has ${most}, but no ${missing}")));
    }
    for (index, number) in (1..).zip(numbers) {
        let value = params.get(number - 1).unwrap_or(&Value::Null);
        let bound = match value {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Integer(i64::from(*value)),
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Float(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
            Value::List(_) => {
                let what = "SQLite has no lists; send one as text in JSON, for `json_each`";
                return Err(refused(format!("field `params[{}]`: {what}", number - 1)));
            }
        };
        statement.raw_bind_parameter(index, ToSqlOutput::Borrowed(bound)).map_err(Bind::Failed)?;
    }
    Ok(())
}

/// Why parameters were not bound.
pub(super) enum Bind {
    /// They do not fit.
    Refused(HostCallError),
    /// SQLite says no.
    Failed(rusqlite::Error),
}

fn refused(why: impl Into<String>) -> Bind {
    Bind::Refused(bad_request(why))
}

fn is_dollar(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.starts_with('$'))
}

/// Which of the parameters stands there, counted from 1.
fn number(name: Option<&str>, index: usize) -> Result<usize, Bind> {
    let Some(name) = name else { return Ok(index) };
    let number = name.strip_prefix('$').or_else(|| name.strip_prefix('?')).and_then(|number| number.parse().ok());
    match number {
        Some(number) if number > 0 => Ok(number),
        _ => Err(refused(format!("parameter `{}` has a name: number it, as in `$1`", cut(name)))),
    }
}

/// Columns of a statement that returns rows, of which those that were declared as boolean are known.
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    booleans: Vec<bool>,
}

impl Columns {
    pub(super) fn of(statement: &Statement<'_>) -> Self {
        let columns = statement.columns();
        let (mut names, mut booleans) = (Vec::new(), Vec::new());
        for column in columns {
            names.push(column.name().to_owned());
            let declared = column.decl_type().unwrap_or_default();
            booleans.push(declared.eq_ignore_ascii_case("boolean") || declared.eq_ignore_ascii_case("bool"));
        }
        Self { names, booleans }
    }

    /// Bytes of texts and bytes in a row.
    pub(super) fn length(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
        let lengths = (0..self.booleans.len()).map(|index| {
            Ok(match row.get_ref(index)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
            })
        });
        lengths.sum()
    }

    /// The values of a row.
    pub(super) fn read(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Vec<Value>> {
        let columns = self.booleans.iter().enumerate();
        columns.map(|(index, &boolean)| Ok(value(row.get_ref(index)?, boolean))).collect()
    }
}

fn value(stored: ValueRef<'_>, boolean: bool) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value @ 0..=1) if boolean => Value::Bool(value == 1),
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Float(value),
        // What is stored as text need not be any; its bytes are given rather than a guess.
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_no_text) => Value::Bytes(Bytes::copy_from_slice(text)),
        },
        ValueRef::Blob(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
    }
}
