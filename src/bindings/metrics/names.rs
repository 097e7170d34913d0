//! Which names of metrics and labels a guest may use: those that every scraper takes, and that cannot break the page.

use super::operations::Metric;
use crate::{
    bindings::payload::{bad_request, cut},
    host::{HostCallError, HostErrorKind},
};

/// Bytes of a name. Long ones are sentences, and stand in every line of the page.
const MAX_NAME: usize = 100;

/// Bytes of the value of a label: a path or a host fits, a document does not.
const MAX_VALUE: usize = 256;

/// What the exposition adds to the names of samples itself: a name with such an end could be another's sample.
const RESERVED_ENDS: [&str; 8] = ["_total", "_created", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum"];

/// Labels that the daemon or the exposition writes.
const RESERVED_LABELS: [&str; 3] = ["module", "le", "quantile"];

/// Checks everything of a metric that is new.
pub(super) fn check(metric: &Metric<'_>) -> Result<(), HostCallError> {
    let name = &*metric.name;
    if !is_name(name) {
        return Err(bad_request(format!("field `name`: `{}` is no name of a metric: {RULE}", cut(name))));
    }
    if let Some(end) = RESERVED_ENDS.iter().find(|end| name.ends_with(*end)) {
        return Err(bad_request(format!("field `name`: `{name}` ends with `{end}`, which the exposition adds itself")));
    }
    metric.labels.iter().try_for_each(|(name, value)| label(name, value))
}

const RULE: &str = "letters, digits and `_`, at most 100, not beginning with a digit or `__`";

fn label(name: &str, value: &str) -> Result<(), HostCallError> {
    if !is_name(name) {
        return Err(bad_request(format!("field `labels`: `{}` is no name of a label: {RULE}", cut(name))));
    }
    if RESERVED_LABELS.contains(&name) {
        return Err(bad_request(format!("field `labels`: the label `{name}` is written by the daemon")));
    }
    if value.len() > MAX_VALUE {
        let why = format!("the value of label `{name}` has {} bytes, at most {MAX_VALUE} are taken", value.len());
        return Err(HostCallError::new(HostErrorKind::TooLarge, why));
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let start = name.as_bytes().first();
    name.len() <= MAX_NAME
        && start.is_some_and(|byte| !byte.is_ascii_digit())
        && !name.starts_with("__")
        && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::metrics::operations::counter;

    fn checked(payload: &str) -> Result<(), String> {
        let (request, _) = counter(payload.as_bytes()).unwrap();
        check(&request.metric).map_err(|error| error.to_string())
    }

    #[test]
    fn names_that_scrapers_take_pass_and_others_are_named() {
        for good in ["jobs", "Jobs_2", "_x", "a".repeat(100).as_str(), "jobs_total"] {
            checked(&format!("{{\"name\":\"{good}\"}}")).unwrap();
        }
        for wrong in ["", "2x", "a-b", "a.b", "a:b", "ü", "a b", "__x", "a\\nb", "a\\\"b", "a".repeat(101).as_str()] {
            let error = checked(&format!("{{\"name\":\"{wrong}\"}}")).unwrap_err();
            assert!(error.starts_with("bad_request: field `name`: "), "{error}");
            let error = checked(&format!("{{\"name\":\"x\",\"labels\":{{\"{wrong}\":\"\"}}}}")).unwrap_err();
            assert!(error.starts_with("bad_request: field `labels`: "), "{error}");
        }
    }

    #[test]
    fn names_that_are_another_ones_samples_are_refused() {
        for end in ["_total_total", "_created", "_bucket", "_count", "_sum", "_info", "_gcount", "_gsum"] {
            assert!(
                checked(&format!("{{\"name\":\"jobs{end}\"}}")).unwrap_err().contains("the exposition adds itself")
            );
        }
        for label in RESERVED_LABELS {
            let error = checked(&format!("{{\"name\":\"x\",\"labels\":{{\"{label}\":\"\"}}}}")).unwrap_err();
            assert_eq!(error, format!("bad_request: field `labels`: the label `{label}` is written by the daemon"));
        }
    }

    #[test]
    fn values_of_labels_are_any_text_of_some_length() {
        checked(&format!("{{\"name\":\"x\",\"labels\":{{\"a\":\"{}\\n\\\"\"}}}}", "ü".repeat(127))).unwrap();
        let error = checked(&format!("{{\"name\":\"x\",\"labels\":{{\"a\":\"{}\"}}}}", "x".repeat(257))).unwrap_err();
        assert_eq!(error, "too_large: the value of label `a` has 257 bytes, at most 256 are taken");
    }
}
