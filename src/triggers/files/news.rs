//! What the watcher has told since somebody looked. Bounded, and nobody waits to tell.

use std::{collections::HashSet, ffi::OsString, path::Path, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::files::watch::Notice;

/// More names than this are not remembered one by one: listing the directory is cheaper, and memory stays bounded.
const MOST: usize = 4096;

/// The place for what is told. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct News(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    told: Mutex<Told>,
    came: Notify,
}

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Names in the inbox.
    pub(super) names: HashSet<OsString>,
    /// Everything in it is to be looked at.
    pub(super) all: bool,
}

impl News {
    /// Takes in a notice of the watcher about this inbox.
    pub(super) fn notice(&self, inbox: &Path, notice: Notice) {
        let (Notice::Stirred { path } | Notice::Settled { path, .. }) = notice;
        match path.file_name().filter(|_| path.parent() == Some(inbox)) {
            Some(name) => self.name(name.to_owned()),
            None => self.all(),
        }
    }

    /// There may be something of that name.
    pub(super) fn name(&self, name: OsString) {
        let mut told = self.0.told.lock();
        if told.names.len() >= MOST {
            told.names.clear();
            told.all = true;
        } else if !told.all {
            told.names.insert(name);
        }
        drop(told);
        self.0.came.notify_one();
    }

    /// There may be anything.
    pub(super) fn all(&self) {
        let mut told = self.0.told.lock();
        told.names.clear();
        told.all = true;
        drop(told);
        self.0.came.notify_one();
    }

    /// Waits until something was told since the last time.
    pub(super) async fn came(&self) {
        self.0.came.notified().await;
    }

    /// Takes what was told.
    pub(super) fn take(&self) -> Told {
        std::mem::take(&mut self.0.told.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_names_become_a_look_at_everything() {
        let news = News::default();
        for number in 0..MOST {
            news.name(number.to_string().into());
        }
        assert_eq!(news.take().names.len(), MOST);
        for number in 0..=MOST {
            news.notice(Path::new("/in"), Notice::Stirred { path: format!("/in/{number}").into() });
        }
        let told = news.take();
        assert!(told.all && told.names.is_empty());
    }

    #[test]
    fn a_notice_of_the_directory_itself_means_everything() {
        let news = News::default();
        news.notice(Path::new("/in"), Notice::Stirred { path: "/in/a".into() });
        assert!(!news.take().all);
        news.notice(Path::new("/in"), Notice::Stirred { path: "/in".into() });
        assert!(news.take().all);
    }
}
