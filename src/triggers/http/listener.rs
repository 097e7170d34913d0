//! One listener: its sockets, and the tasks that take connections from them and hand each to a worker.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use rustix::io::Errno;
use tokio::{runtime, sync::watch, task::JoinHandle};

use super::{
    connection::Serving,
    handover::{Accepted, Usher},
    tls::Identity,
};
use crate::{
    config::Listen,
    triggers::{
        ListenerFacts,
        sockets::{Registered, Stream, is_left_to_others},
    },
};

/// How long nothing is accepted when the process or the system has no descriptor left. Connections that end give theirs
/// back meanwhile; what waits is in the backlog.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long the log is silent about that after it was told: under load it comes and goes many times a second.
const SILENCE: Duration = Duration::from_secs(60);

/// Connections that are taken from a backlog before a socket is closed: twice what it holds, so that whoever floods it
/// does not keep it open.
const LAST: usize = 8192;

/// How many of those are taken before everybody else on the thread has a turn.
const AT_A_TIME: usize = 64;

/// The answer to a connection beyond the limit.
const REFUSED: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A listener at work.
#[derive(Debug)]
pub(super) struct Listening {
    /// Tells its connections from those of others.
    pub(super) id: u64,
    pub(super) listen: Listen,
    pub(super) identity: Arc<ArcSwapOption<Identity>>,
    /// Of each socket.
    addresses: Vec<Option<SocketAddr>>,
    /// What its tasks are told.
    end: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the tasks of a listener share.
struct Door {
    id: u64,
    listen: Listen,
    identity: Arc<ArcSwapOption<Identity>>,
    serving: Arc<Serving>,
    usher: Arc<Usher>,
}

impl Listening {
    /// Takes connections from now on.
    pub(super) fn start(
        (id, listen): (u64, Listen),
        sockets: Vec<Registered>,
        identity: Option<Arc<Identity>>,
        (serving, usher): (&Arc<Serving>, &Arc<Usher>),
        io: &runtime::Handle,
    ) -> Self {
        let identity = Arc::new(ArcSwapOption::new(identity));
        let (serving, usher) = (Arc::clone(serving), Arc::clone(usher));
        let door = Door { id, listen: listen.clone(), identity: Arc::clone(&identity), serving, usher };
        let (end, ends) = watch::channel(false);
        let door = Arc::new(door);
        let addresses = sockets.iter().map(|socket| socket.bound().address()).collect();
        let accept = |socket| io.spawn(Arc::clone(&door).accept(socket, ends.clone()));
        let tasks = sockets.into_iter().map(accept).collect();
        Self { id, listen, identity, addresses, end, tasks }
    }

    /// What it says about itself, a line for each socket.
    pub(super) fn facts(&self) -> impl Iterator<Item = ListenerFacts> {
        let tls = self.identity.load().is_some();
        self.addresses.iter().map(move |address| {
            let address = match (&self.listen, address) {
                (Listen::Tcp(_), Some(address)) => address.to_string(),
                (listen, _) => listen.to_string(),
            };
            ListenerFacts { address, tls }
        })
    }

    /// Takes what already waits and nothing more, and closes its sockets.
    pub(super) async fn finish(self) {
        self.end.send_replace(true);
        for task in self.tasks {
            // It ends as it was told, or with the runtime.
            task.await.unwrap_or_default();
        }
    }

    /// Closes its sockets.
    pub(super) fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Door {
    async fn accept(self: Arc<Self>, socket: Registered, mut end: watch::Receiver<bool>) {
        let mut told: Option<Instant> = None;
        loop {
            let accepted = tokio::select! {
                biased;
                _ = end.wait_for(|end| *end) => break,
                accepted = socket.accept() => accepted,
            };
            let mut tell = |error: &io::Error| {
                if told.is_none_or(|told| told.elapsed() > SILENCE) {
                    told = Some(Instant::now());
                    tracing::warn!(listener = %self.listen, %error, "cannot accept connections for now");
                }
            };
            match accepted {
                Ok(stream) if is_last(&stream) => {
                    tell(&Errno::MFILE.into());
                    self.serving.connections.refuse();
                    refuse(stream, self.identity.load().is_some());
                }
                Ok(stream) => self.admit(stream),
                Err(error) if !is_of_one(&error) => {
                    tell(&error);
                    tokio::time::sleep(EXHAUSTED).await;
                }
                // One connection that ended before it was taken.
                Err(_) => {}
            }
        }
        let socket = socket.bound();
        // Others take what waits in a socket that they have, too.
        for taken in 1..=LAST {
            if taken % AT_A_TIME == 0 {
                tokio::task::yield_now().await;
            }
            if socket.is_shared() {
                return;
            }
            match socket.accept() {
                Ok(stream) => self.admit(stream),
                Err(error) if !is_of_one(&error) => return,
                Err(_) => {}
            }
        }
    }

    /// Hands a connection to the worker that has the fewest.
    fn admit(&self, stream: Stream) {
        let most = self.serving.current.load().limits.connections;
        let identity = self.identity.load();
        let Some(entry) = self.serving.connections.enter(self.id, most, || self.usher.share()) else {
            return refuse(stream, identity.is_some());
        };
        let tls = identity.as_ref().map(|identity| identity.config());
        let serving = Arc::clone(&self.serving);
        self.usher.hand_over(stream, Accepted { tls, entry: Arc::new(entry), serving });
    }
}

/// Whether an error is that of one connection, which ended before it was taken: those that `accept(2)` has from the network.
/// After any other the next try would most likely fail as well, at once and without end.
fn is_of_one(error: &io::Error) -> bool {
    let of_one = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::INTR,
        Errno::PERM,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::TIMEDOUT,
    ];
    Errno::from_io_error(error).is_some_and(|error| of_one.contains(&error))
}

/// Whether descriptors run short, so that the rest is for everybody else.
fn is_last(stream: &Stream) -> bool {
    match stream {
        Stream::Tcp(stream, _) => is_left_to_others(stream),
        Stream::Unix(stream) => is_left_to_others(stream),
    }
}

/// Says so to whom there is no room for, as far as that can be done at once.
pub(super) fn refuse(stream: Stream, secure: bool) {
    // An answer that is not secured would be taken for a broken handshake.
    if secure {
        return;
    }
    // What has come is read, because it would make the kernel throw the answer away. All of it is as good as it gets.
    let mut scratch = [0; 4096];
    match stream {
        Stream::Tcp(mut stream, _) => {
            stream.read(&mut scratch).map(drop).unwrap_or_default();
            stream.write_all(REFUSED).and_then(|()| stream.shutdown(Shutdown::Write)).unwrap_or_default();
        }
        Stream::Unix(mut stream) => {
            stream.read(&mut scratch).map(drop).unwrap_or_default();
            stream.write_all(REFUSED).and_then(|()| stream.shutdown(Shutdown::Write)).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_are_passed_over_and_all_others_waited_out() {
        let is_of_one = |error: Errno| is_of_one(&error.into());
        for error in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::HOSTUNREACH, Errno::PERM] {
            assert!(is_of_one(error), "{error}");
        }
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::BADF, Errno::INVAL, Errno::AGAIN]
        {
            assert!(!is_of_one(error), "{error}");
        }
        assert!(!super::is_of_one(&io::Error::other("of nobody")));
    }
}
