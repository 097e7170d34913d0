//! Parameters of guests as the types that a statement expects.
//!
//! They are sent as text and read by the server, which knows its types; what is checked here is that a number is not
//! taken for a text or the other way round.

use std::{error::Error, fmt::Write};

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use crate::{
    bindings::{
        payload::bad_request,
        sql::value::{Value, float_text},
    },
    host::HostCallError,
};

/// A parameter in the text that the server reads; `None` is null.
#[derive(Debug)]
pub(super) struct Parameter(Option<String>);

impl Parameter {
    /// Whether the server quotes it in a message.
    pub(super) fn is_quoted_in(&self, message: &str) -> bool {
        self.0.as_ref().is_some_and(|text| message.contains(&format!("\"{text}\"")))
    }
}

impl ToSql for Parameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// Makes the parameters of a statement that expects these types.
///
/// # Errors
/// `bad_request`, naming the parameter that does not fit.
pub(super) fn parameters(values: &[Value], types: &[Type]) -> Result<Vec<Parameter>, HostCallError> {
    if values.len() != types.len() {
        let (expected, found) = (types.len(), values.len());
        return Err(bad_request(format!("field `params`: there are {found}, the statement takes {expected}")));
    }
    let numbered = values.iter().zip(types).enumerate();
    let texts = numbered.map(|(index, (value, ty))| {
        let misfit = |why: Misfit| {
            let hint = why.0.map(|hint| format!(": {hint}")).unwrap_or_default();
            bad_request(format!("field `params[{index}]`: {} where the statement expects {ty}{hint}", value.kind()))
        };
        text(value, ty).map(Parameter).map_err(misfit)
    });
    texts.collect()
}

/// A value is of a type that is not expected; with a hint where there is one.
struct Misfit(Option<&'static str>);

fn text(value: &Value, ty: &Type) -> Result<Option<String>, Misfit> {
    if let Kind::Domain(inner) = ty.kind() {
        return text(value, inner);
    }
    let (number, integer) = (is_number(ty), is_integer(ty));
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(value) if *ty == Type::BOOL || is_json(ty) => value.to_string(),
        Value::Int(value) if number || integer || is_json(ty) => value.to_string(),
        Value::Float(value) if number || is_json(ty) => float(*value),
        Value::Float(_) if integer => return Err(Misfit(Some("cast it in the statement, such as round($1::float8)"))),
        Value::Text(_) if *ty == Type::BYTEA => return Err(Misfit(Some("bytes are {\"$bytes\": \"base64\"} in JSON"))),
        Value::Text(value) if value.contains('\0') => return Err(Misfit(Some("PostgreSQL takes no NUL in a text"))),
        Value::Text(value) => value.clone(),
        Value::Bytes(value) if *ty == Type::BYTEA => hex(value),
        Value::List(values) => match ty.kind() {
            Kind::Array(element) => list(values, element)?,
            _ => return Err(Misfit(None)),
        },
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Bytes(_) => {
            return Err(Misfit(
                is_text(ty).then_some("send it as text, or cast it in the statement, such as $1::int8"),
            ));
        }
    }))
}

fn is_number(ty: &Type) -> bool {
    [Type::FLOAT4, Type::FLOAT8, Type::NUMERIC].contains(ty)
}

fn is_integer(ty: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8, Type::OID].contains(ty)
}

fn is_json(ty: &Type) -> bool {
    [Type::JSON, Type::JSONB].contains(ty)
}

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(ty)
}

/// The shortest text that reads back as the same number.
fn float(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { float_text(value).to_owned() }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing into a text does not fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

/// An array in the server's notation, every element quoted.
fn list(values: &[Value], element: &Type) -> Result<String, Misfit> {
    let mut list = String::from("{");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            list.push(',');
        }
        match text(value, element)? {
            None => list.push_str("NULL"),
            Some(text) => {
                list.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        list.push('\\');
                    }
                    list.push(c);
                }
                list.push('"');
            }
        }
    }
    list.push('}');
    Ok(list)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use bytes::Bytes;

    use super::*;

    fn one(value: Value, ty: Type) -> Result<Option<String>, String> {
        let made = parameters(&[value], &[ty]).map_err(|error| error.to_string())?;
        Ok(made.into_iter().next().unwrap().0)
    }

    #[test]
    fn values_become_what_the_server_reads() {
        for (value, ty, expected) in [
            (Value::Int(-5), Type::INT4, "-5"),
            (Value::Int(5), Type::NUMERIC, "5"),
            (Value::Float(0.1), Type::FLOAT8, "0.1"),
            (Value::Float(1e300), Type::FLOAT8, "1e300"),
            (Value::Float(f64::NEG_INFINITY), Type::FLOAT8, "-Infinity"),
            (Value::Text("2026-01-02".into()), Type::TIMESTAMPTZ, "2026-01-02"),
            (Value::Text("12".into()), Type::INT8, "12"),
            (Value::Bool(true), Type::BOOL, "true"),
            (Value::Bytes(Bytes::from_static(&[0, 171])), Type::BYTEA, "\\x00ab"),
            (Value::List(vec![Value::Text("a\"b\\,{".into()), Value::Null]), Type::TEXT_ARRAY, r#"{"a\"b\\,{",NULL}"#),
        ] {
            assert_eq!(one(value, ty), Ok(Some(expected.to_owned())));
        }
        assert_eq!(one(Value::Null, Type::INT4), Ok(None));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (value, ty, expected) in [
            (Value::Int(1), Type::TEXT, "field `params[0]`: an int where the statement expects text: send it as text"),
            (Value::Bool(true), Type::INT4, "a bool where the statement expects int4"),
            (Value::Float(1.5), Type::INT8, "a float where the statement expects int8: cast it"),
            (Value::Text("x".into()), Type::BYTEA, "text where the statement expects bytea: bytes are"),
            (Value::Text("\0".into()), Type::TEXT, "no NUL"),
            (Value::Bytes(Bytes::new()), Type::TEXT, "bytes where the statement expects text"),
            (Value::List(Vec::new()), Type::INT4, "a list where the statement expects int4"),
        ] {
            let error = one(value, ty).unwrap_err();
            assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error}");
        }
        let error = parameters(&[], &[Type::INT4]).unwrap_err().to_string();
        assert!(error.contains("there are 0, the statement takes 1"), "{error}");
    }
}
