//! Rows that are gathered one by one, up to a number and a size.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::value::Value;
use crate::{
    bindings::payload::{bad_request, cut},
    host::{HostCallError, HostErrorKind},
};

/// How much one answer may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Rows; what is beyond is left out.
    pub(super) rows: usize,
    /// Bytes; what is beyond is an error.
    pub(super) bytes: u64,
}

/// The rows of an answer.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    more: bool,
    room: Room,
    weight: u64,
    /// Bytes that a row takes for the names of its columns.
    names: u64,
}

impl Rows {
    /// An answer without rows yet.
    ///
    /// # Errors
    /// `bad_request`: a statement without columns has no rows, and two columns of one name do not fit into a map.
    pub(super) fn new(columns: Vec<String>, room: Room) -> Result<Self, HostCallError> {
        if columns.is_empty() {
            return Err(bad_request("the statement returns no rows: use `execute`"));
        }
        let mut sorted: Vec<&String> = columns.iter().collect();
        sorted.sort_unstable();
        if let Some([twice, _]) = sorted.array_windows().find(|[one, other]| one == other) {
            let name = cut(twice);
            return Err(bad_request(format!("two columns are named `{name}`: name one of them otherwise, with AS")));
        }
        let weight = columns.iter().map(|name| name.len() as u64 + 1).sum();
        Ok(Self { columns, rows: Vec::new(), more: false, room, weight, names: weight })
    }

    /// Whether there is room for another row. Asked when there is one: where there is no room, it is known to be left out.
    pub(super) fn has_room(&mut self) -> bool {
        self.more = self.rows.len() >= self.room.rows;
        !self.more
    }

    /// Whether a row with texts and bytes of this length could still be taken; asked before they are copied.
    ///
    /// # Errors
    /// `too_large`: the answer would be larger than the binding allows.
    pub(super) fn admit(&self, length: u64) -> Result<(), HostCallError> {
        if self.weight.saturating_add(length) <= self.room.bytes { Ok(()) } else { Err(self.too_large()) }
    }

    /// Takes a row.
    ///
    /// # Errors
    /// `too_large`: the answer would be larger than the binding allows.
    pub(super) fn push(&mut self, row: Vec<Value>) -> Result<(), HostCallError> {
        let values: usize = row.iter().map(Value::weight).sum();
        self.weight += values as u64 + self.names;
        if self.weight > self.room.bytes {
            return Err(self.too_large());
        }
        self.rows.push(row);
        Ok(())
    }

    fn too_large(&self) -> HostCallError {
        let (count, bytes) = (self.rows.len() + 1, self.room.bytes);
        let why = format!("the first {count} rows are larger than an answer may be ({bytes} bytes)");
        HostCallError::new(HostErrorKind::TooLarge, why)
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut answer = serializer.serialize_map(Some(3))?;
        answer.serialize_entry("columns", &self.columns)?;
        answer.serialize_entry("rows", &Maps(self))?;
        answer.serialize_entry("more", &self.more)?;
        answer.end()
    }
}

struct Maps<'r>(&'r Rows);

impl Serialize for Maps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.rows.len()))?;
        for row in &self.0.rows {
            list.serialize_element(&Row { columns: &self.0.columns, values: row })?;
        }
        list.end()
    }
}

struct Row<'r> {
    columns: &'r [String],
    values: &'r [Value],
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.values.len()))?;
        for (column, value) in self.columns.iter().zip(self.values) {
            map.serialize_entry(column, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn rows(columns: &[&str], rows: usize, bytes: u64) -> Result<Rows, HostCallError> {
        Rows::new(columns.iter().map(|&name| name.to_owned()).collect(), Room { rows, bytes })
    }

    #[test]
    fn rows_are_maps_and_what_was_left_out_is_told() {
        let mut answer = rows(&["a", "b"], 1, 100).unwrap();
        assert!(answer.has_room());
        answer.push(vec![Value::Int(1), Value::Null]).unwrap();
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"columns":["a","b"],"rows":[{"a":1,"b":null}],"more":false}"#
        );
        assert!(!answer.has_room());
        assert!(serde_json::to_string(&answer).unwrap().ends_with(r#""more":true}"#));
    }

    #[test]
    fn an_answer_that_grows_too_large_is_an_error_before_it_is_there() {
        let mut answer = rows(&["a"], 1000, 40).unwrap();
        answer.push(vec![Value::Text("short".into())]).unwrap();
        let error = answer.push(vec![Value::Text("x".repeat(40))]).unwrap_err();
        assert_eq!(error.to_string(), "too_large: the first 2 rows are larger than an answer may be (40 bytes)");
    }

    #[test]
    fn columns_that_no_map_can_hold_are_named() {
        let error = rows(&["id", "name", "id"], 1, 100).unwrap_err().to_string();
        assert_eq!(error, "bad_request: two columns are named `id`: name one of them otherwise, with AS");
        assert!(rows(&[], 1, 100).unwrap_err().to_string().contains("use `execute`"));
    }
}
