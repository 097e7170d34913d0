//! The trigger as the supervisor has it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{sync::watch, task::AbortHandle};

use super::{
    inbox::Inbox,
    one::blocking,
    shared::Shared,
    work::{Order, work},
};
use crate::{
    config::{FilesSettings, Trigger, TriggerSettings, Watch, WatchMode},
    files::watch::{Target, TargetKind, Watcher},
    triggers::{Caller, Groundwork, RunningTrigger, TriggerContext, TriggerEnd, TriggerError, TriggerFacts},
};

/// A `files` trigger at work.
struct FilesTrigger {
    shared: Arc<Shared>,
    watcher: Watcher,
    orders: watch::Sender<Order>,
    /// Why the loop has ended, when it has; empty where it was asked to.
    over: watch::Receiver<Option<String>>,
    task: AbortHandle,
}

/// Makes the directories. They stay where nothing follows: an empty directory is in nobody's way.
///
/// # Errors
/// One of them cannot be made.
pub(in crate::triggers) async fn prepare(config: &Trigger) -> Result<(), TriggerError> {
    let inbox = Inbox { path: settings(config)?.dir.clone() };
    blocking(move || inbox.make()).await.unwrap_or(Err(TriggerError::Lost("a thread for files")))
}

/// Starts it.
///
/// # Errors
/// A directory cannot be made, or there can be no further thread.
pub(in crate::triggers) async fn start(
    config: Arc<Trigger>,
    context: TriggerContext,
) -> Result<Arc<dyn RunningTrigger>, TriggerError> {
    prepare(&config).await?;
    let settings = settings(&config)?.clone();
    let dir = settings.dir.clone();
    let name = Arc::clone(&config.name);
    let caller = Caller::new(&name, context.modules);
    let shared = Arc::new(Shared::new(name, settings, context.watch.settle, caller, context.observer));

    let (news, inbox) = (shared.news.clone(), dir.clone());
    let watcher = Watcher::start(for_inbox(context.watch), move |notice| news.notice(&inbox, notice));
    let watcher = watcher.map_err(TriggerError::Thread)?;
    watcher.set(vec![Target { path: dir, kind: TargetKind::Inbox }]);

    let io = context.io.handle().map_err(TriggerError::Thread)?;
    let (orders, heard) = watch::channel(Order::Work);
    let (ended, over) = watch::channel(None);
    let work = io.spawn(work(Arc::clone(&shared), heard));
    let task = work.abort_handle();
    io.spawn(async move {
        let why = match work.await {
            Err(error) if error.is_panic() => "its loop panicked".to_owned(),
            Ok(()) | Err(_) => String::new(),
        };
        ended.send_replace(Some(why));
    });
    Ok(Arc::new(FilesTrigger { shared, watcher, orders, over, task }))
}

fn settings(config: &Trigger) -> Result<&FilesSettings, TriggerError> {
    match &config.settings {
        TriggerSettings::Files(settings) => Ok(settings),
        other => Err(TriggerError::Settings(format!("settings of type `{}` for a `files` trigger", other.type_name()))),
    }
}

/// How an inbox is watched: one that nobody looks at would be none, so without the kernel's notices it is polled.
fn for_inbox(settings: Watch) -> Watch {
    let mode = if settings.mode == WatchMode::Off { WatchMode::Poll } else { settings.mode };
    Watch { mode, ..settings }
}

impl RunningTrigger for FilesTrigger {
    fn prepare(&self, config: Arc<Trigger>) -> BoxFuture<'static, Result<Groundwork, TriggerError>> {
        async move { prepare(&config).await.map(|()| Groundwork::None) }.boxed()
    }

    fn adjust(&self, config: Arc<Trigger>, _groundwork: Groundwork) {
        // Another type or directory is another trigger.
        if let Ok(settings) = settings(&config) {
            self.shared.settings.store(Arc::new(settings.clone()));
        }
    }

    fn watch(&self, settings: Watch) {
        self.shared.settle.store(Arc::new(settings.settle));
        self.watcher.configure(for_inbox(settings));
    }

    fn facts(&self) -> TriggerFacts {
        self.shared.facts()
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        self.orders.send_replace(Order::Drain);
        let mut over = self.over.clone();
        async move {
            // An error means that nobody is left who could end.
            over.wait_for(Option::is_some).await.map(drop).unwrap_or_default();
        }
        .boxed()
    }

    fn stop(&self) {
        self.task.abort();
        self.shared.waiting.store(0, Relaxed);
    }

    fn ended(&self) -> BoxFuture<'static, TriggerEnd> {
        let mut over = self.over.clone();
        async move {
            let why = over.wait_for(|over| over.as_ref().is_some_and(|why| !why.is_empty())).await;
            match why.map(|why| why.clone().unwrap_or_default()) {
                Ok(why) => TriggerEnd::Fault(why),
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }
}

impl Drop for FilesTrigger {
    fn drop(&mut self) {
        self.task.abort();
    }
}
