//! From the payload of a host call to a change of one series.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{labels::Labels, series::Kind};
use crate::{
    bindings::payload::{Format, bad_request, decode},
    host::HostCallError,
};

/// Bounds of a histogram where the guest gives none: those that clients of Prometheus use for seconds.
const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Buckets of a histogram at most: each is a line of every page.
const MAX_BUCKETS: usize = 32;

/// Between the parts of a key: no byte of UTF-8.
const BETWEEN: u8 = 0xff;

/// Which series.
#[derive(Debug)]
pub(super) struct Metric<'a> {
    /// The guest's name of it, without `_total`.
    pub(super) name: Cow<'a, str>,
    /// Its labels.
    pub(super) labels: Labels<'a>,
}

impl Metric<'_> {
    /// Writes what tells it apart from every other series of the module.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        key.clear();
        key.extend_from_slice(self.name.as_bytes());
        for (name, value) in self.labels.iter() {
            for part in [name, value] {
                key.push(BETWEEN);
                key.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// What happens to it. Numbers are finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// A counter grows by so much, which is not negative.
    Count(f64),
    /// A gauge becomes so much.
    Set(f64),
    /// A gauge changes by so much.
    Add(f64),
    /// A histogram has one more value, which is not negative.
    Observe(f64),
}

impl Change {
    /// What it can happen to.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Count(_) => Kind::Counter,
            Self::Set(_) | Self::Add(_) => Kind::Gauge,
            Self::Observe(_) => Kind::Histogram,
        }
    }
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Which series.
    pub(super) metric: Metric<'a>,
    /// What happens to it.
    pub(super) change: Change,
    /// The bounds that a histogram is to have; `None`: those that it has, or the usual ones.
    pub(super) buckets: Option<Vec<f64>>,
}

impl Request<'_> {
    /// The bounds of a new histogram.
    pub(super) fn bounds(&self) -> &[f64] {
        self.buckets.as_deref().unwrap_or(&DEFAULT_BUCKETS)
    }
}

/// Reads the payload of an operation.
pub(super) type Parse = for<'a> fn(&'a [u8]) -> Result<(Request<'a>, Format), HostCallError>;

/// The answer of all operations.
#[derive(Serialize)]
pub(super) struct Done {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Counter<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    labels: Option<Labels<'a>>,
    by: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Gauge<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    labels: Option<Labels<'a>>,
    set: Option<f64>,
    add: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Histogram<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    labels: Option<Labels<'a>>,
    value: f64,
    buckets: Option<Vec<f64>>,
}

/// Reads `counter`.
pub(super) fn counter(payload: &[u8]) -> Result<(Request<'_>, Format), HostCallError> {
    let (Counter { name, labels, by }, format) = decode(payload)?;
    let change = Change::Count(not_negative("by", by.unwrap_or(1.0))?);
    let name = match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.strip_suffix("_total").unwrap_or(name)),
        Cow::Owned(name) => Cow::Owned(name.strip_suffix("_total").unwrap_or(&name).to_owned()),
    };
    let metric = Metric { name, labels: labels.unwrap_or_default() };
    Ok((Request { metric, change, buckets: None }, format))
}

/// Reads `gauge`.
pub(super) fn gauge(payload: &[u8]) -> Result<(Request<'_>, Format), HostCallError> {
    let (Gauge { name, labels, set, add }, format) = decode(payload)?;
    let change = match (set, add) {
        (Some(value), None) => Change::Set(finite("set", value)?),
        (None, Some(value)) => Change::Add(finite("add", value)?),
        _ => return Err(bad_request("expected either the field `set` or the field `add`")),
    };
    let metric = Metric { name, labels: labels.unwrap_or_default() };
    Ok((Request { metric, change, buckets: None }, format))
}

/// Reads `histogram`.
pub(super) fn histogram(payload: &[u8]) -> Result<(Request<'_>, Format), HostCallError> {
    let (Histogram { name, labels, value, buckets }, format) = decode(payload)?;
    let change = Change::Observe(not_negative("value", value)?);
    if let Some(bounds) = &buckets
        && (bounds.is_empty() || bounds.len() > MAX_BUCKETS || !rise(bounds))
    {
        let expected = format!("1 to {MAX_BUCKETS} finite numbers, each larger than the one before");
        return Err(bad_request(format!("field `buckets`: expected {expected}")));
    }
    let metric = Metric { name, labels: labels.unwrap_or_default() };
    Ok((Request { metric, change, buckets }, format))
}

fn rise(bounds: &[f64]) -> bool {
    bounds.iter().all(|bound| bound.is_finite())
        && bounds.iter().zip(bounds.iter().skip(1)).all(|(bound, next)| bound < next)
}

fn finite(field: &str, value: f64) -> Result<f64, HostCallError> {
    if value.is_finite() { Ok(value) } else { Err(bad_request(format!("field `{field}`: {value} is not finite"))) }
}

fn not_negative(field: &str, value: f64) -> Result<f64, HostCallError> {
    match finite(field, value)? {
        value if value >= 0.0 => Ok(value),
        value => Err(bad_request(format!("field `{field}`: {value} is negative"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error(parse: Parse, payload: &[u8]) -> String {
        parse(payload).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_read_from_messagepack_is_borrowed() {
        let (request, _) = counter(b"\x82\xa4name\xaajobs_total\xa6labels\x81\xa1a\xa1b").unwrap();
        assert!(matches!(request.metric.name, Cow::Borrowed("jobs")));
        assert_eq!(request.change, Change::Count(1.0));
        let mut key = Vec::new();
        request.metric.write_key(&mut key);
        assert_eq!(key, b"jobs\xffa\xffb");
    }

    #[test]
    fn numbers_are_finite_and_only_gauges_go_down() {
        let nan = b"\x82\xa4name\xa1x\xa2by\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00";
        assert_eq!(error(counter, nan), "bad_request: field `by`: NaN is not finite");
        assert_eq!(error(counter, br#"{"name":"x","by":-1}"#), "bad_request: field `by`: -1 is negative");
        assert_eq!(error(histogram, br#"{"name":"x","value":-0.5}"#), "bad_request: field `value`: -0.5 is negative");
        assert_eq!(gauge(br#"{"name":"x","set":-1}"#).unwrap().0.change, Change::Set(-1.0));
        assert_eq!(gauge(b"\x82\xa4name\xa1x\xa3add\xff").unwrap().0.change, Change::Add(-1.0));
    }

    #[test]
    fn a_gauge_is_set_or_changed() {
        for payload in [&br#"{"name":"x"}"#[..], br#"{"name":"x","set":1,"add":1}"#] {
            assert_eq!(error(gauge, payload), "bad_request: expected either the field `set` or the field `add`");
        }
    }

    #[test]
    fn buckets_rise_and_are_not_many() {
        let buckets = |list: &str| format!("{{\"name\":\"x\",\"value\":1,\"buckets\":[{list}]}}");
        let most: Vec<String> = (0..32).map(|bound| bound.to_string()).collect();
        assert_eq!(histogram(buckets(&most.join(",")).as_bytes()).unwrap().0.bounds().len(), 32);
        for list in ["", "1,1", "2,1", &format!("{},32", most.join(","))] {
            assert!(
                error(histogram, buckets(list).as_bytes())
                    .starts_with("bad_request: field `buckets`: expected 1 to 32")
            );
        }
        assert_eq!(histogram(br#"{"name":"x","value":1}"#).unwrap().0.bounds(), DEFAULT_BUCKETS);
    }

    #[test]
    fn fields_are_named_in_errors() {
        for (payload, expected) in [
            (&br#"{}"#[..], "bad_request: missing field `name`"),
            (br#"{"name":"x","labels":{"a":1}}"#, "field `labels.a`: invalid type: integer `1`"),
            (br#"{"name":"x","by":"1"}"#, "field `by`: invalid type: string"),
            (br#"{"name":"x","to":1}"#, "unknown field `to`"),
        ] {
            let error = error(counter, payload);
            assert!(error.contains(expected), "{error}");
        }
    }
}
