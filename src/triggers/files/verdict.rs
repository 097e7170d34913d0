//! What the end of a call means for its file. Pure.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    actors::CallFailure,
    host::{CallError, Part},
};

/// What a call's end means for the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// The guest never had it: it is nobody's attempt, and neither has the next file a chance before then.
    Unavailable(Duration),
    /// It failed, and may do better the next time.
    Again,
    /// It fails for ever.
    Never,
}

/// Judges the end of a call. `wait`: for how long a module is left alone that takes no calls and does not say for how long.
pub(super) fn of(outcome: &Result<Bytes, CallFailure>, wait: Duration) -> Verdict {
    match outcome {
        Ok(_) => Verdict::Done,
        Err(CallFailure::Busy { retry_after, .. } | CallFailure::RateLimited { retry_after, .. }) => {
            Verdict::Unavailable(*retry_after)
        }
        Err(failure) if failure.is_unavailable() => Verdict::Unavailable(wait),
        // It is not going to shrink, and the guest never saw it.
        Err(CallFailure::Call(CallError::TooLarge { part: Part::Payload, .. })) => Verdict::Never,
        Err(_) => Verdict::Again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::Refusal;

    #[test]
    fn a_module_that_takes_no_calls_costs_a_file_no_attempt() {
        const WAIT: Duration = Duration::from_millis(100);
        let too_large = |part| CallFailure::Call(CallError::TooLarge { part, size: 2, limit: 1 });
        let refused = CallFailure::Refused { module: "m".into(), refusal: Refusal::Stopped };
        let (module, what, retry_after) = ("m".into(), String::new(), Duration::from_secs(1));
        for (failure, expected) in [
            (CallFailure::NoSuchModule("m".to_owned()), Verdict::Unavailable(WAIT)),
            (refused, Verdict::Unavailable(WAIT)),
            (CallFailure::Busy { module, what, retry_after }, Verdict::Unavailable(retry_after)),
            (CallFailure::Expired { module: "m".into(), waited: WAIT }, Verdict::Unavailable(WAIT)),
            (CallFailure::Call(CallError::Guest("no".to_owned())), Verdict::Again),
            (CallFailure::Lost("gone".to_owned()), Verdict::Again),
            (too_large(Part::Response), Verdict::Again),
            (too_large(Part::Payload), Verdict::Never),
        ] {
            assert_eq!(of(&Err(failure), WAIT), expected);
        }
        assert_eq!(of(&Ok(Bytes::new()), WAIT), Verdict::Done);
    }
}
