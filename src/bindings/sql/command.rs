//! From a host call to a command, and from its outcome to a reply.
//!
//! Everything that a guest can get wrong about a request, short of its SQL, is found here, before a backend sees it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    rows::{Room, Rows},
    value::Value,
};
use crate::{
    bindings::{
        BindingCall, BindingReply,
        payload::{Format, bad_request, decode, encode},
    },
    config::{Rules, SqlRules},
    host::HostCallError,
};

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 3] = ["query", "execute", "batch"];

/// What a backend is asked.
#[derive(Debug)]
pub(super) struct Command {
    /// What to do.
    pub(super) work: Work,
    /// Whose it is: modules take turns.
    pub(super) module: Arc<str>,
    /// What the link of the module allows.
    pub(super) rules: Arc<SqlRules>,
    /// How the answer is written.
    format: Format,
}

/// What to do.
#[derive(Debug)]
pub(super) enum Work {
    /// One statement that returns rows.
    Query(Statement, Room),
    /// One statement that returns none.
    Execute(Statement),
    /// Statements that return none, in one transaction.
    Batch(Vec<Statement>),
    /// Whether the database can be read at all; asked by the daemon, never by a guest.
    Probe,
}

/// A statement with its parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Statement {
    /// One statement of SQL.
    pub(super) sql: String,
    /// What `$1`, `$2` and so on stand for.
    #[serde(default, deserialize_with = "absent_or_null")]
    pub(super) params: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryRequest {
    sql: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    params: Vec<Value>,
    limit: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    statements: Vec<Statement>,
}

fn absent_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Option::<Vec<Value>>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What a command answers.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Rows.
    Rows(Rows),
    /// What a statement changed.
    Changed(Changed),
    /// What each statement changed.
    Batch(Vec<Changed>),
    /// The database is well.
    Well,
}

/// What a statement changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Changed {
    /// Rows that were inserted, updated or deleted.
    pub(super) changed: u64,
    /// The row id of the last row that an INSERT made, where the database has such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_id: Option<i64>,
}

#[derive(Serialize)]
struct BatchReply {
    results: Vec<Changed>,
}

#[derive(Serialize)]
struct Empty {}

/// How large answers may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Rows.
    pub(super) max_rows: u32,
    /// Bytes.
    pub(super) max_response: u64,
}

impl Command {
    /// The daemon's own question.
    pub(super) fn probe() -> Self {
        Self { work: Work::Probe, module: Arc::from(""), rules: Arc::default(), format: Format::Json }
    }

    /// Writes the answer to it.
    pub(super) fn reply(&self, outcome: &Outcome) -> BindingReply {
        match outcome {
            Outcome::Rows(rows) => encode(self.format, rows),
            Outcome::Changed(changed) => encode(self.format, changed),
            Outcome::Batch(results) => encode(self.format, &BatchReply { results: results.clone() }),
            Outcome::Well => encode(self.format, &Empty {}),
        }
    }

    /// Whether it may change nothing, as far as can be told before its statement is parsed.
    pub(super) fn is_query(&self) -> bool {
        matches!(self.work, Work::Query(..) | Work::Probe)
    }

    /// Bytes that it holds while it waits.
    pub(super) fn size(&self) -> usize {
        let size = |statement: &Statement| {
            statement.sql.len() + statement.params.iter().map(Value::size).sum::<usize>() + size_of::<Statement>()
        };
        match &self.work {
            Work::Query(statement, _) | Work::Execute(statement) => size(statement),
            Work::Batch(statements) => statements.iter().map(size).sum(),
            Work::Probe => 0,
        }
    }
}

/// Reads a host call.
///
/// # Errors
/// `no_such_operation`, or `bad_request`, which names the field.
pub(super) fn parse(call: &BindingCall, limits: Limits) -> Result<Command, HostCallError> {
    let (work, format) = match call.operation.as_str() {
        "query" => {
            let (QueryRequest { sql, params, limit }, format) = decode(&call.payload)?;
            (Work::Query(checked("sql", Statement { sql, params })?, room(limit, limits)?), format)
        }
        "execute" => {
            let (statement, format) = decode(&call.payload)?;
            (Work::Execute(checked("sql", statement)?), format)
        }
        "batch" => {
            let (BatchRequest { statements }, format) = decode(&call.payload)?;
            if statements.is_empty() {
                return Err(bad_request("field `statements`: there is none"));
            }
            let indexed = statements.into_iter().enumerate();
            let checked = indexed.map(|(index, statement)| checked(&format!("statements[{index}].sql"), statement));
            (Work::Batch(checked.collect::<Result<_, _>>()?), format)
        }
        _ => return Err(call.no_such_operation(&call.link.to, &OPERATIONS)),
    };
    let rules = match &call.link.rules {
        Rules::Sql(rules) => Arc::new(rules.clone()),
        _ => Arc::default(),
    };
    Ok(Command { work, module: Arc::clone(&call.caller.module), rules, format })
}

fn checked(field: &str, statement: Statement) -> Result<Statement, HostCallError> {
    if statement.sql.contains('\0') {
        return Err(bad_request(format!("field `{field}`: there is a NUL in it")));
    }
    if statement.sql.trim_ascii().is_empty() {
        return Err(bad_request(format!("field `{field}`: there is no statement in it")));
    }
    Ok(statement)
}

fn room(limit: Option<u64>, limits: Limits) -> Result<Room, HostCallError> {
    let most = u64::from(limits.max_rows);
    let rows = match limit.unwrap_or(most) {
        rows if (1..=most).contains(&rows) => usize::try_from(rows).unwrap_or(usize::MAX),
        rows => return Err(bad_request(format!("field `limit`: {rows}, expected 1 to {most}"))),
    };
    Ok(Room { rows, bytes: limits.max_response })
}

/// The error of one statement in a batch.
pub(super) fn in_batch(index: usize, mut error: HostCallError) -> HostCallError {
    error.message = format!("statement {index} of the batch, counted from 0: {}", error.message);
    error
}
