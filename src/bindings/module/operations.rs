//! What the `module` binding checks before it passes a call on.

use crate::{
    bindings::{BindingCall, payload::bad_request},
    host::HostCallError,
};

/// Whether the call says where it goes.
pub(super) fn check(call: &BindingCall) -> Result<(), HostCallError> {
    if call.namespace.is_empty() {
        return Err(bad_request("the namespace is empty: expected the name of the module to call"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::testing::call;

    #[test]
    fn refuses_a_call_that_names_no_module() {
        let mut request = call("greet", b"");
        let error = check(&request).unwrap_err();
        assert_eq!(error.to_string(), "bad_request: the namespace is empty: expected the name of the module to call");
        request.namespace = "greeter".into();
        check(&request).unwrap();
    }
}
