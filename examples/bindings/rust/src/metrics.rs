//! `metrics`: what this guest counts, among the metrics of the daemon.

use wapc_guest::prelude::*;

use crate::host::{ask, list, map, text, words};

/// `NAME KIND`: counts one more of a kind.
pub fn counter(payload: &[u8]) -> CallResult {
    let [name, kind] = words(payload)?;
    let request = [("name", name.into()), ("labels", map([("kind", kind.into())])), ("by", 1.into())];
    ask("metrics", "counter", request)?;
    text("")
}

/// `NAME NUMBER`: says how much there is now.
pub fn gauge(payload: &[u8]) -> CallResult {
    let [name, value] = words(payload)?;
    let value: i64 = value.parse()?;
    ask("metrics", "gauge", [("name", name.into()), ("set", value.into())])?;
    text("")
}

/// `NAME NUMBER`: adds a measurement, which is counted in one of four buckets.
pub fn histogram(payload: &[u8]) -> CallResult {
    let [name, value] = words(payload)?;
    let value: i64 = value.parse()?;
    let buckets = list([1.into(), 10.into(), 100.into()]);
    ask("metrics", "histogram", [("name", name.into()), ("value", value.into()), ("buckets", buckets)])?;
    text("")
}
