//! Those who wait until a child has settled.

use tokio::sync::oneshot;

/// Who waits for one child: operators, and whoever waits for the end of a reload or of the daemon.
#[derive(Debug, Default)]
pub(super) struct Waiters(Vec<oneshot::Sender<()>>);

impl Waiters {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Another one, who hears by this that it has settled.
    pub(super) fn add(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.push(sender);
        receiver
    }

    /// Tells all of them that it has settled.
    pub(super) fn tell(&mut self) {
        for waiting in self.0.drain(..) {
            // One that has gone does not want to know.
            waiting.send(()).ok();
        }
    }
}
