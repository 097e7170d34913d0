//! `log`: lines in the daemon's log. The operation is the level, the payload the line.

use wapc_guest::prelude::*;

use crate::host::words;

/// `LEVEL TEXT`: logs a line at that level: `trace`, `debug`, `info`, `warn` or `error`.
pub fn line(payload: &[u8]) -> CallResult {
    let [level, line] = words(payload)?;
    host_call("log", "", level, line.as_bytes())
}
