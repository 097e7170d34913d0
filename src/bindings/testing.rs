//! Host calls for the tests of bindings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{BindingCall, Caller, Chain};
use crate::{
    config::{Link, Operations, Rules, Space},
    host::LineLimit,
};

/// A host call of module `tester` over a link that shares nothing.
pub(crate) fn call(operation: &str, payload: impl AsRef<[u8]>) -> BindingCall {
    BindingCall {
        caller: Caller {
            module: "tester".into(),
            instance: 7,
            generation: 1,
            call: 42,
            deadline: Instant::now() + Duration::from_secs(30),
            chain: Chain::default(),
            lines: LineLimit::default(),
        },
        namespace: String::new(),
        operation: operation.into(),
        payload: Bytes::copy_from_slice(payload.as_ref()),
        link: link(false),
    }
}

/// A link with or without `shared`.
pub(crate) fn link(shared: bool) -> Arc<Link> {
    Arc::new(Link {
        binding: "default".into(),
        namespace: None,
        to: "cache".into(),
        operations: Operations::All,
        required: false,
        rules: Rules::Space(if shared { Space::Shared } else { Space::Own }),
    })
}
