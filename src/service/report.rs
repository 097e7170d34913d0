//! Keeps the service manager up to date: looks at the daemon when its events tell of a change, and no more often than
//! somebody could read.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::board::{Board, Phase};
use crate::{supervisor::SupervisorHandle, triggers::Sockets};

/// How soon a change is told, and how long the next is waited with. A person reads one line a second; ten a second would
/// cost the service manager more than they are worth when a guest fails in a loop.
const PAUSE: Duration = Duration::from_secs(1);

/// The same until the daemon is ready and while it stops, since others wait for that.
const SHORT_PAUSE: Duration = Duration::from_millis(50);

/// How often it is looked without a change until the daemon is ready: that something has been waited for long enough is no
/// event.
const LOOK: Duration = Duration::from_secs(1);

/// Tells how the daemon stands, for as long as it lives.
pub(super) async fn report(board: Arc<Board>, running: SupervisorHandle, sockets: Arc<Sockets>) {
    let mut events = running.events().last();
    loop {
        events.mark_unchanged();
        // Whatever keeps the supervisor from answering is told by the sign of life that is not given.
        let phase = running.standing().await.map(|standing| board.show(&standing)).unwrap_or(*board.phase().borrow());
        if phase == Phase::Ready {
            // Everybody who listens does.
            sockets.close_unwanted();
        }
        let whole = board.flush();
        let patient = phase == Phase::Ready || phase == Phase::Reloading;
        if !patient || !whole {
            // An error is an event that did not come.
            timeout(LOOK, events.changed()).await.map(drop).unwrap_or_default();
        } else if events.changed().await.is_err() {
            return;
        }
        sleep(if patient { PAUSE } else { SHORT_PAUSE }).await;
    }
}
