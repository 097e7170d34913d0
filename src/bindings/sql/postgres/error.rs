//! What went wrong in PostgreSQL: whose fault it is, by the class of its code, and how guests are told.

use std::sync::Arc;

use tokio_postgres::{Error, error::DbError};

use super::parameters::Parameter;
use crate::{
    bindings::circuit::Failure,
    config::SqlRules,
    host::{HostCallError, HostErrorKind},
};

/// How much of the server's words a guest may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// All of them.
    All,
    /// Only their code: a statement under `tables` could make an error out of what it must not read.
    Code,
}

impl Words {
    /// What a guest under these rules may read about the running of a statement.
    pub(super) fn under(rules: &Arc<SqlRules>) -> Self {
        if rules.tables.is_some() { Self::Code } else { Self::All }
    }
}

/// Whose failure it is.
pub(super) fn explain(error: Error, words: Words) -> Failure {
    let Some(said) = error.as_db_error() else {
        let text = error.to_string();
        // The connection is well; the request or its answer is not.
        if text.starts_with("error serializing") || text.starts_with("error deserializing") {
            return HostCallError::with_source(HostErrorKind::BadRequest, "a value does not fit", error).into();
        }
        return Failure::Server(error.into());
    };
    let kind = match said.code().code() {
        "57014" => {
            let why = "the statement was ended at the deadline of its call";
            return HostCallError::new(HostErrorKind::TimedOut, why).into();
        }
        "25006" => {
            let why = "the link is `read_only`: the statement would change something";
            return HostCallError::new(HostErrorKind::NotAllowed, why).into();
        }
        "42501" => HostErrorKind::NotAllowed,
        "55P03" => HostErrorKind::Unavailable,
        // No statement of a guest has a name: it is one of the client's that a function has thrown away, or whose name one has
        // taken. A new connection has them all.
        "26000" | "42P05" => return Failure::Server(error.into()),
        code => match code.get(..2).unwrap_or_default() {
            "08" | "28" | "57" | "F0" => return Failure::Server(error.into()),
            "23" | "40" | "44" => HostErrorKind::Conflict,
            "53" | "58" | "XX" => HostErrorKind::Unavailable,
            "54" => HostErrorKind::TooLarge,
            _ => HostErrorKind::BadRequest,
        },
    };
    HostCallError::new(kind, message(said, words)).into()
}

fn message(said: &DbError, words: Words) -> String {
    let code = said.code().code();
    let mut text = match words {
        Words::All => said.message().to_owned(),
        Words::Code => match said.constraint() {
            Some(constraint) => format!("the statement fails at constraint `{constraint}` (SQLSTATE {code})"),
            None => {
                format!("the statement fails (SQLSTATE {code}; under `tables` the server's words are not passed on)")
            }
        },
    };
    if code.starts_with("40") {
        text.push_str("; nothing was changed, try again");
    }
    text
}

/// The failure of a statement with these parameters, of which the one that the server could not read is named.
pub(super) fn blame(error: Error, words: Words, params: &[Parameter]) -> Failure {
    let blamed = error.as_db_error().filter(|said| said.code().code().starts_with("22")).and_then(|said| {
        let mut quoted = params.iter().enumerate().filter(|(_, param)| param.is_quoted_in(said.message()));
        // Two that read the same are equally wrong.
        quoted.next().map(|(index, _)| index)
    });
    match (explain(error, words), blamed) {
        (Failure::Request(mut error), Some(index)) => {
            error.message = format!("field `params[{index}]`: {}", error.message);
            Failure::Request(error)
        }
        (failure, _) => failure,
    }
}
