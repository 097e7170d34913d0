//! The watching thread and its handle.

use std::{fmt, io, path::PathBuf, sync::Arc, thread, time::Instant};

use super::{Target, inbox::Inbox, notices::Notices, sights::Sights};
use crate::{config::Watch, files::fingerprint::Fingerprint};

/// What the watcher tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A file has changed and rests again.
    Settled {
        /// The path, as the target names it.
        path: PathBuf,
        /// Its state; `None`: it is gone.
        file: Option<Fingerprint>,
    },
    /// There is something to see in an inbox.
    Stirred {
        /// The path in it; the inbox itself where everything in it is to be looked at.
        path: PathBuf,
    },
}

/// Watches files; its thread ends when this is dropped.
pub(crate) struct Watcher {
    inbox: Arc<Inbox>,
}

impl Watcher {
    /// Starts the thread, which calls `notify` for everything that it has to tell; `notify` must not wait.
    ///
    /// # Errors
    /// When there can be no further thread.
    pub(crate) fn start(settings: Watch, notify: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let theirs = Arc::clone(&inbox);
        thread::Builder::new().name("wapcd-watch".to_owned()).spawn(move || watch(&theirs, settings, &notify))?;
        Ok(Self { inbox })
    }

    /// Replaces what is watched. Paths that were watched before keep what was seen of them.
    pub(crate) fn set(&self, targets: Vec<Target>) {
        self.inbox.tell(|letters| letters.targets = Some(targets));
    }

    /// Goes on with other settings.
    pub(crate) fn configure(&self, settings: Watch) {
        self.inbox.tell(|letters| letters.settings = Some(settings));
    }

    /// Reports a watched path after it has rested again, even if nothing changes: it was being written when it was to be
    /// read.
    pub(crate) fn look_again(&self, path: PathBuf) {
        self.inbox.tell(|letters| {
            letters.asked.insert(path);
        });
    }

    /// Pretends that the kernel lost notices.
    #[cfg(test)]
    pub(super) fn overflow(&self) {
        self.inbox.tell(|letters| letters.everything = true);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Nobody waits for the thread: it may be looking at a file system that does not answer.
        self.inbox.tell(|letters| letters.end = true);
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

fn watch(inbox: &Arc<Inbox>, settings: Watch, notify: &impl Fn(Notice)) {
    let mut sights = Sights::new(settings, Notices::new(Arc::clone(inbox)), Instant::now());
    loop {
        let letters = inbox.take(sights.next());
        if letters.end {
            return;
        }
        for notice in sights.turn(letters, Instant::now()) {
            notify(notice);
        }
    }
}
