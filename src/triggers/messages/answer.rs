//! What whoever asked gets: the guest's answer, or the error in the headers that services of NATS use for it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    actors::CallFailure,
    bindings::messaging::{Broker, Headers, Outgoing},
    host::{CallError, GuestExit, HostCallError},
};

/// The header with the text of an error.
const ERROR: &str = "Nats-Service-Error";

/// The header with its number.
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Topics of servers themselves begin so. Whoever may publish to the trigger's topics could have the daemon speak to the
/// server by such a reply topic, with the daemon's rights.
const OF_SERVER: char = '$';

/// Bytes of the text of an error: some lines, and less than servers take for all headers.
const ENOUGH: usize = 1024;

/// Sends the outcome of a call to whoever asked.
///
/// # Errors
/// Nothing can be published there, or the server is down.
pub(super) async fn answer(
    broker: &dyn Broker,
    reply_to: &str,
    outcome: &Result<Bytes, CallFailure>,
) -> Result<(), HostCallError> {
    if reply_to.starts_with(OF_SERVER) {
        tracing::debug!(reply_to, "an answer is not sent to a topic of the server itself");
        return Ok(());
    }
    let too_large;
    let failure = match outcome {
        Ok(body) if body.len() as u64 <= broker.max_message() => {
            let answer = Outgoing::new(reply_to.to_owned(), body.clone())?;
            return broker.answer(answer).done().await.map(drop);
        }
        Ok(body) => {
            too_large = format!("the answer has {} bytes, a message at most {}", body.len(), broker.max_message());
            (TOO_LARGE, too_large)
        }
        Err(failure) => (code(failure), failure.to_string()),
    };
    let (code, text) = failure;
    let headers = BTreeMap::from([(ERROR_CODE.to_owned(), code.to_string()), (ERROR.to_owned(), line(&text))]);
    let answer = Outgoing::new(reply_to.to_owned(), Bytes::new())?.with_headers(Headers::new(headers)?);
    broker.answer(answer).done().await.map(drop)
}

/// What is larger than may be.
const TOO_LARGE: u16 = 413;

/// The number of an error, as HTTP has them.
fn code(failure: &CallFailure) -> u16 {
    match failure {
        CallFailure::NoSuchModule(_) => 404,
        CallFailure::Refused { .. } | CallFailure::Busy { .. } | CallFailure::RateLimited { .. } => 503,
        CallFailure::Expired { .. } | CallFailure::Call(CallError::Exit(GuestExit::DeadlineExceeded { .. })) => 504,
        CallFailure::Call(CallError::TooLarge { .. }) => TOO_LARGE,
        CallFailure::Call(CallError::Guest(_)) => 502,
        CallFailure::Call(CallError::Exit(_) | CallError::Restart(_))
        | CallFailure::Cycle { .. }
        | CallFailure::Lost(_) => 500,
    }
}

/// The start of a text, on one line.
fn line(text: &str) -> String {
    let start = text.get(..text.floor_char_boundary(ENOUGH)).unwrap_or_default();
    start.replace(char::is_control, " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_error_fits_into_a_header() {
        assert_eq!(line(" a\r\nb\t"), "a  b");
        assert_eq!(line(&"ä".repeat(1000)).len(), ENOUGH);
        assert_eq!(line(""), "");
    }
}
