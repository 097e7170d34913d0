//! A binding of type `process`: whatever a program of the operator's offers. Here it is the one of `examples/process`.

use wapc_guest::prelude::*;

/// `SECONDS`: answers them after so long. Requests and answers are what the program says; here both are a text.
pub fn wait(payload: &[u8]) -> CallResult {
    host_call("process", "", "wait", payload)
}
