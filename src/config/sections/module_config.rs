//! `[modules.NAME.config]`: a table for the guest, kept as it is, as the values that JSON has.

use std::sync::Arc;

use serde_json::{Map, Number, Value};
use toml::de::DeValue;

use crate::config::{
    error::ConfigErrorKind,
    reader::{Node, Problem},
};

/// Reads the table.
pub(super) fn read(node: &Node<'_>) -> Option<Arc<Value>> {
    node.section("a table with whatever the guest reads")?.named();
    value(node).map(Arc::new)
}

fn value(node: &Node<'_>) -> Option<Value> {
    Some(match node.value() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::String(date.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => return node.bad(ConfigErrorKind::OutOfRange, "a number of 64 bits", None),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => return node.problem(not_finite(node)),
        },
        DeValue::Array(_) => {
            let items = node.list("a list")?;
            let values: Vec<Option<Value>> = items.iter().map(value).collect();
            Value::Array(values.into_iter().collect::<Option<_>>()?)
        }
        DeValue::Table(_) => {
            let named = node.section("a table")?.named();
            let values: Vec<Option<(String, Value)>> =
                named.iter().map(|named| Some((named.name.to_owned(), value(&named.node)?))).collect();
            Value::Object(values.into_iter().collect::<Option<Map<_, _>>>()?)
        }
    })
}

fn not_finite(node: &Node<'_>) -> Problem {
    Problem {
        kind: ConfigErrorKind::BadValue,
        found: node.describe(),
        expected: "a finite number: neither MessagePack guests nor JSON could agree on others".to_owned(),
        hint: None,
    }
}
