//! Answers the host calls of the `system` binding, at once. Owns nothing but the binding's name.

use std::sync::Arc;

use super::{OPERATIONS, operations};
use crate::bindings::{Answer, Binding, BindingCall, BindingFactory};

/// Makes the `system` binding of each worker.
pub(super) struct SystemFactory {
    name: Arc<str>,
}

impl SystemFactory {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name }
    }
}

impl BindingFactory for SystemFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(System { name: Arc::clone(&self.name) })
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

struct System {
    name: Arc<str>,
}

impl Binding for System {
    fn call(&self, call: BindingCall) -> Answer {
        Answer::Now(match call.operation.as_str() {
            "now" => operations::now(&call.payload),
            "monotonic" => operations::monotonic(&call.payload),
            "random" => operations::random(&call.payload),
            "uuid" => operations::uuid(&call.payload),
            "identity" => operations::identity(&call.payload, &call.caller),
            _ => Err(call.no_such_operation(&self.name, &OPERATIONS)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::testing::call;

    #[test]
    fn every_operation_is_answered_at_once_and_no_other_is_known() {
        let binding = SystemFactory::new("system".into()).make(0);
        for operation in OPERATIONS {
            let payload = if operation == "random" { "{\"length\":1}" } else { "" };
            assert!(matches!(binding.call(call(operation, payload)), Answer::Now(Ok(_))), "{operation}");
        }
        let Answer::Now(reply) = binding.call(call("sleep", "")) else { unreachable!() };
        let expected =
            "no_such_operation: binding `system` has no operation `sleep`: now, monotonic, random, uuid, identity";
        assert_eq!(reply.unwrap_err().to_string(), expected);
    }
}
