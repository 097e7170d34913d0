//! The way of a connection from whoever accepted it to the worker that serves it.
//!
//! A worker may end at any moment, and with it go the tasks that it has and those that it was only just sent. A connection
//! that nothing was read from is as good as new: [`Handed`] gives it back when it is dropped, and another worker gets it, or
//! the one that takes the place of the last.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::runtime;
use tokio_rustls::rustls::ServerConfig;

use super::{
    connection::{self, Serving},
    connections::{Entry, Order},
    listener::refuse,
    stream::Socket,
};
use crate::{
    actors::{WorkerHandles, watched},
    triggers::{
        TriggerContext,
        sockets::{Share, Sockets, Stream},
    },
};

/// How long nobody looks for a worker after none was found. One that takes the place of another is there within milliseconds.
const LOOK: Duration = Duration::from_millis(20);

/// Brings connections to workers, and to others where those end.
pub(super) struct Usher {
    workers: WorkerHandles,
    sockets: Arc<Sockets>,
    /// Where others are looked for.
    io: runtime::Handle,
}

/// A connection that was accepted, without its stream.
#[derive(Clone)]
pub(super) struct Accepted {
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) entry: Arc<Entry>,
    pub(super) serving: Arc<Serving>,
}

/// A connection on its way, of which nothing was read. Whoever drops it gives it to another worker.
pub(super) struct Handed<S: Portable> {
    pub(super) accepted: Accepted,
    /// None once it has arrived.
    stream: Option<S>,
    usher: Arc<Usher>,
    /// Until when a worker is looked for, where one has ended with it.
    until: Option<Instant>,
}

/// The stream of a connection that can go elsewhere.
pub(super) trait Portable {
    /// The same without a thread that it lives on.
    ///
    /// # Errors
    /// The system's.
    fn leave(self) -> io::Result<Stream>;
}

impl Usher {
    pub(super) fn new(context: &TriggerContext, io: &runtime::Handle) -> Self {
        Self { workers: context.workers.clone(), sockets: Arc::clone(&context.sockets), io: io.clone() }
    }

    /// A place for one more connection, with the worker that has the fewest.
    pub(super) fn share(&self) -> Share {
        self.sockets.shares.take(&self.workers)
    }

    /// Hands a connection to the worker that its place is with.
    pub(super) fn hand_over(self: &Arc<Self>, stream: Stream, accepted: Accepted) {
        self.hand(stream, accepted, None);
    }

    fn hand(self: &Arc<Self>, stream: Stream, accepted: Accepted, until: Option<Instant>) {
        let worker = self.workers.get(accepted.entry.worker());
        let handed = Handed { accepted, stream: Some(stream), usher: Arc::clone(self), until };
        // A worker that has ended drops it, and so it comes back.
        if let Some(worker) = worker {
            worker.spawn_fn(move || {
                actix::spawn(watched(connection::serve(handed)));
            });
        }
    }

    /// Looks for another worker, until there is one or it took too long.
    async fn find_another(self: Arc<Self>, stream: Stream, mut accepted: Accepted, until: Instant) {
        while accepted.entry.order() != Order::Cut {
            if Instant::now() >= until {
                accepted.serving.connections.refuse();
                return refuse(stream, accepted.tls.is_some());
            }
            let share = self.share();
            if self.workers.get(share.worker()).is_some_and(|worker| worker.alive()) {
                accepted.entry = Arc::new(accepted.entry.again(share));
                return self.hand(stream, accepted, Some(until));
            }
            drop(share);
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Handed<Stream> {
    /// Makes it live on this thread.
    ///
    /// # Errors
    /// The system's; the connection is lost.
    pub(super) fn settle(mut self) -> io::Result<Handed<Socket>> {
        let stream = self.stream.take().map(Socket::new).transpose()?;
        Ok(Handed { accepted: self.accepted.clone(), stream, usher: Arc::clone(&self.usher), until: self.until })
    }
}

impl Handed<Socket> {
    /// Waits for the first bytes, which are still to be read then, or for its end.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn begins(&self) -> io::Result<()> {
        match &self.stream {
            Some(stream) => stream.readable().await,
            None => Ok(()),
        }
    }

    /// It has arrived: whatever becomes of it now, it is this worker's.
    pub(super) fn arrive(mut self) -> Option<Socket> {
        self.stream.take()
    }
}

impl<S: Portable> Drop for Handed<S> {
    fn drop(&mut self) {
        let stream = match self.stream.take().map(Portable::leave).transpose() {
            Ok(Some(stream)) => stream,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "a connection is lost with its worker"),
        };
        let patience = || self.accepted.serving.current.load().limits.head_timeout;
        let until = self.until.unwrap_or_else(|| Instant::now() + patience());
        // Threads of connections that have ended drop it, and so has the daemon then.
        self.usher.io.spawn(Arc::clone(&self.usher).find_another(stream, self.accepted.clone(), until));
    }
}

impl Portable for Stream {
    fn leave(self) -> io::Result<Stream> {
        Ok(self)
    }
}

impl Portable for Socket {
    fn leave(self) -> io::Result<Stream> {
        self.into_stream()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use arc_swap::ArcSwap;
    use tokio::{io::AsyncReadExt as _, net::UnixStream};

    use super::{
        super::{
            connection::Current,
            connections::Connections,
            tests::{settings, site},
        },
        *,
    };
    use crate::{actors::Modules, triggers::Caller};

    /// What the client of a connection reads that is handed over where there is no worker, after `then`, with the counts of open
    /// connections and of refused ones.
    async fn said(keys: &str, then: impl FnOnce(&Connections)) -> (String, [u64; 2]) {
        let current = Arc::new(Current { site: site(keys).unwrap(), limits: settings(keys).limits });
        let serving = Arc::new(Serving {
            current: ArcSwap::new(current),
            caller: Caller::new(&Arc::from("api"), Modules::default()),
            connections: Arc::default(),
            workers: 1,
        });
        let workers = WorkerHandles::default();
        let usher = Arc::new(Usher { workers, sockets: Arc::default(), io: runtime::Handle::current() });
        let (server, mut client) = UnixStream::pair().unwrap();
        let entry = Arc::new(serving.connections.enter(1, 1, || usher.share()).unwrap());
        let accepted = Accepted { tls: None, entry, serving: Arc::clone(&serving) };
        usher.hand_over(Stream::Unix(server.into_std().unwrap()), accepted);
        then(&serving.connections);
        let mut said = String::new();
        let reading = client.read_to_string(&mut said);
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
        serving.connections.empty().await;
        (said, [serving.connections.count(), serving.connections.refused()])
    }

    #[actix::test]
    async fn a_connection_that_no_worker_is_there_for_is_refused_in_its_time() {
        let (said, counts) = said("limits = { head_timeout = \"50ms\" }", |_| ()).await;
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert_eq!(counts, [0, 1]);
    }

    #[actix::test]
    async fn a_connection_that_is_cut_is_not_handed_over_again() {
        let cut = |connections: &Connections| connections.tell(Order::Cut);
        assert_eq!(said("limits = { head_timeout = \"1h\" }", cut).await, (String::new(), [0, 0]));
    }
}
