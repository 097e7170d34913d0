//! `module`: another module, with payloads of that module's own.

use wapc_guest::prelude::*;

/// `TEXT`: calls the operation `hello` of the module `greeter` and answers what it says. The namespace names the module.
pub fn call(payload: &[u8]) -> CallResult {
    host_call("module", "greeter", "hello", payload)
}
