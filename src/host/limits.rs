//! What one instance may use.

use std::time::Duration;

/// Limits of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory. Wasm counts in pages of 64 KiB; a growth that would pass the limit is refused.
    pub memory: u64,
    /// Elements of all tables together.
    pub table_elements: u64,
    /// Bytes of the payload of a guest call, and of a host call's payload.
    pub payload: u64,
    /// Bytes of the guest's response or error text.
    pub response: u64,
    /// Wall-clock time of one call or of all start functions together, host calls included; `None`: no limit.
    pub deadline: Option<Duration>,
}

impl Default for Limits {
    /// 64 MiB of memory, 20,000 table elements, 4 MiB each way, no deadline.
    fn default() -> Self {
        Self { memory: 64 << 20, table_elements: 20_000, payload: 4 << 20, response: 4 << 20, deadline: None }
    }
}
