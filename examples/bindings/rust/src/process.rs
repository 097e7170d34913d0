//! A binding of type `process`: whatever a program of the operator's offers. Here it is the one of `examples/process`.

use wapc_guest::prelude::*;

/// `WHAT`: counts it and answers how often it was. Requests and answers are what the program says; here both are a text.
pub fn count(payload: &[u8]) -> CallResult {
    host_call("process", "", "count", payload)
}
