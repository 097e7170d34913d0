//! What went wrong in SQLite, as guests are told.

use rusqlite::{Error, ErrorCode, ffi};

use super::authorizer::Denied;
use crate::{
    bindings::payload::bad_request,
    config::SqlRules,
    host::{HostCallError, HostErrorKind},
};

/// The error for the guest.
pub(super) fn explain(binding: &str, error: Error) -> HostCallError {
    let code = match (&error, error.sqlite_error()) {
        (Error::SqlInputError { error: code, .. }, _) | (_, Some(code)) => *code,
        (Error::MultipleStatement, None) => {
            return bad_request("one statement at a time: several are for `batch`");
        }
        (other, None) => return bad_request(other.to_string()),
    };
    let refused = |kind| HostCallError::new(kind, message(&error, code));
    match code.code {
        ErrorCode::ConstraintViolation => refused(HostErrorKind::Conflict),
        ErrorCode::TooBig => refused(HostErrorKind::TooLarge),
        ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ParameterOutOfRange | ErrorCode::ApiMisuse => {
            refused(HostErrorKind::BadRequest)
        }
        // What is only found while it runs, as with the functions that stand for PRAGMA.
        ErrorCode::AuthorizationForStatementDenied => refused(HostErrorKind::NotAllowed),
        ErrorCode::OperationInterrupted => {
            HostCallError::new(HostErrorKind::TimedOut, "the statement was ended at the deadline of its call")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let text = format!("the database of binding `{binding}` is locked by another process");
            HostCallError::with_source(HostErrorKind::Unavailable, text, error)
        }
        ErrorCode::OutOfMemory => {
            let text = "the statement needs more memory than SQLite may have now";
            HostCallError::with_source(HostErrorKind::Unavailable, text, error)
        }
        ErrorCode::DiskFull => {
            let text = format!("the disk of binding `{binding}` is full");
            HostCallError::with_source(HostErrorKind::Unavailable, text, error)
        }
        // Input and output, a damaged file, permissions: none of it is the guest's doing.
        _ => {
            tracing::error!(binding, %error, "database failed");
            let text = format!("the database of binding `{binding}` failed");
            HostCallError::with_source(HostErrorKind::Unavailable, text, error)
        }
    }
}

/// What SQLite says, without the statement, which the guest has.
fn message(error: &Error, code: ffi::Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, offset, .. } if *offset >= 0 => {
            format!("{msg} (at byte {offset} of the statement)")
        }
        Error::SqlInputError { msg, .. } => msg.clone(),
        _ => code.to_string(),
    }
}

/// The error for a statement that the authorizer denied.
pub(super) fn denied(denied: &Denied, rules: &SqlRules) -> HostCallError {
    let not_allowed = |why: String| HostCallError::new(HostErrorKind::NotAllowed, why);
    match denied {
        Denied::Never(what) => not_allowed(format!("no statement may {what}")),
        Denied::Transaction => bad_request("transactions do not last beyond a call: use `batch`"),
        Denied::ReadOnly => not_allowed("the link is `read_only`: the statement would change something".to_owned()),
        Denied::Table(table) | Denied::Name(table) => {
            let tables = rules.tables.as_deref().unwrap_or_default().join("`, `");
            not_allowed(format!("table `{table}` is none of the link's `tables`: `{tables}`"))
        }
        Denied::Schema => {
            not_allowed("the link has `tables`: statements may read and change rows, and nothing else".to_owned())
        }
    }
}
