//! What a statement begins with, which tells statements about rows from those about sessions and transactions.
//!
//! A prepared statement is one statement, and its first word decides what PostgreSQL's grammar makes of it; so this looks
//! at nothing else, and takes only words that it knows.

use crate::{
    bindings::payload::{bad_request, cut},
    host::HostCallError,
};

/// What a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows: it reads or changes them.
    Rows,
    /// Something else that is done with its transaction: tables, functions, grants.
    Schema,
}

const ROWS: [&str; 8] = ["SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE"];

const SCHEMA: [&str; 13] = [
    "CREATE", "ALTER", "DROP", "TRUNCATE", "COMMENT", "GRANT", "REVOKE", "REINDEX", "REFRESH", "ANALYZE", "EXPLAIN",
    "CALL", "SHOW",
];

const TRANSACTIONS: [&str; 9] =
    ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"];

/// What the statement is about.
///
/// # Errors
/// `bad_request`: it is about the transaction or the session, neither of which is the guest's.
pub(super) fn kind(sql: &str) -> Result<Kind, HostCallError> {
    let word = first_word(sql).to_ascii_uppercase();
    match word.as_str() {
        word if ROWS.contains(&word) => Ok(Kind::Rows),
        word if SCHEMA.contains(&word) => Ok(Kind::Schema),
        word if TRANSACTIONS.contains(&word) => {
            Err(bad_request(format!("`{word}`: transactions do not last beyond a call: use `batch`")))
        }
        "" => Err(bad_request("field `sql`: it does not begin with a statement")),
        word => Err(bad_request(format!(
            "`{}` is no statement that a guest may use: connections are shared, and nothing of a session lasts",
            cut(word)
        ))),
    }
}

/// The first word after white space, comments and parentheses; empty where something else is there.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c', '\x0b', '(']);
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find(['\n', '\r']).and_then(|end| comment.get(end..)).unwrap_or_default();
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            return rest.get(..end).unwrap_or_default();
        }
    }
}

/// What follows a comment, which may have others inside.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(next) = rest.find(['/', '*']) {
        rest = rest.get(next..).unwrap_or_default();
        let taken = if rest.starts_with("/*") {
            depth += 1;
            2
        } else if rest.starts_with("*/") {
            depth -= 1;
            2
        } else {
            1
        };
        rest = rest.get(taken..).unwrap_or_default();
        if depth == 0 {
            return rest;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn statements_are_told_by_their_first_word_wherever_it_hides() {
        for (sql, expected) in [
            ("select 1", Kind::Rows),
            ("\n -- BEGIN\n /* a /* b */ * / c */((SELECT 1))", Kind::Rows),
            ("with x as (select 1) select * from x", Kind::Rows),
            ("CREATE TABLE t ()", Kind::Schema),
        ] {
            assert_eq!(kind(sql).unwrap(), expected, "{sql}");
        }
        for (sql, expected) in [
            ("BEGIN", "use `batch`"),
            ("/**/commit", "use `batch`"),
            ("--\rROLLBACK", "use `batch`"),
            ("/* /* */ SELECT */ savepoint x", "use `batch`"),
            ("PREPARE TRANSACTION 'x'", "use `batch`"),
            (";BEGIN", "does not begin with a statement"),
            ("/* unended SELECT", "does not begin with a statement"),
            ("SET x = 1", "`SET` is no statement"),
            ("COPY t TO PROGRAM 'rm'", "`COPY` is no statement"),
            ("LISTEN x", "no statement that a guest may use"),
            ("do $$ begin end $$", "`DO` is no statement"),
            ("\u{a0}SELECT 1", "does not begin with a statement"),
        ] {
            let error = kind(sql).unwrap_err().to_string();
            assert!(error.starts_with("bad_request: ") && error.contains(expected), "{error} for {sql}");
        }
    }
}
