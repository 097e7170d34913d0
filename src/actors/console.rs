//! A guest's lines in the daemon's log: under the module's name, with instance, generation and call.

use std::sync::Arc;

use super::Links;
use crate::host::{Console, LineLimit, Stream};

/// Logs the lines of one instance under the target `wapcd::guest`.
pub struct GuestLines {
    /// Name of the module.
    pub module: Arc<str>,
    /// Id of the instance.
    pub instance: u64,
    /// Generation of its code.
    pub generation: u64,
    /// Knows the call that runs.
    pub links: Arc<Links>,
}

impl Console for GuestLines {
    fn line(&self, stream: Stream, text: &str) {
        let (module, instance, generation) = (&*self.module, self.instance, self.generation);
        let (call, trace) = self.links.current_call();
        let trace = trace.map(tracing::field::display);
        match stream {
            Stream::Log => tracing::info!(target: "wapcd::guest", module, instance, generation, call, trace, "{text}"),
            Stream::Stdout => {
                tracing::info!(target: "wapcd::guest", module, instance, generation, call, trace, stream = "stdout", "{text}")
            }
            Stream::Stderr => {
                tracing::info!(target: "wapcd::guest", module, instance, generation, call, trace, stream = "stderr", "{text}")
            }
        }
    }

    fn limit(&self) -> LineLimit {
        self.links.lines()
    }

    fn dropped(&self, lines: u64) {
        let (module, instance, generation) = (&*self.module, self.instance, self.generation);
        let (call, trace) = self.links.current_call();
        let trace = trace.map(tracing::field::display);
        tracing::warn!(target: "wapcd::guest", module, instance, generation, call, trace, lines, "guest floods, lines dropped");
    }
}
