//! A guest with one operation: `hello` takes a name and answers `Hello, NAME!`.

use wapc_guest::prelude::*;

/// The host calls this once, after loading the guest and before the first call.
#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("hello", hello);
}

fn hello(payload: &[u8]) -> CallResult {
    let name = std::str::from_utf8(payload)?.trim();
    if name.is_empty() {
        return Err("tell me a name".into());
    }

    // A host call: binding, namespace, operation, payload.
    host_call("log", "", "info", format!("greeting {name}").as_bytes())?;

    Ok(format!("Hello, {name}!").into_bytes())
}
