//! Sockets that connections come in at: those that the daemon was started with, and those that it made.
//!
//! Whoever asks for a socket that is open gets the same one, so that a reload which gives it to another trigger neither
//! closes it nor finds it in use; the last user closes it. Those that the daemon was started with stay open for its life, so
//! that a listener that goes with a reload can come back, and what waits in them is for the next daemon.

mod bound;
mod descriptors;
mod inherited;
mod shares;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

pub use self::descriptors::raise_descriptor_limit;
pub(in crate::triggers) use self::{
    bound::{Bound, Registered, Stream},
    descriptors::is_left_to_others,
    shares::{Share, Shares},
};
use self::{
    bound::{Listener, tcp},
    inherited::Inherited,
};
use super::TriggerError;
use crate::{
    config::Listen,
    files::socket::{SocketFile, SocketFileError},
};

/// Connections that the kernel keeps until they are taken, as many as it allows by default: a burst waits here for the
/// milliseconds in which workers are busy, where more would be refused.
const BACKLOG: i32 = 4096;

/// Every socket that connections may come in at. One a daemon.
#[derive(Debug, Default)]
pub struct Sockets {
    inherited: Vec<Inherited>,
    open: Mutex<HashMap<Place, Open>>,
    /// How the connections that came in are spread over the workers.
    pub(in crate::triggers) shares: Shares,
}

/// Where a socket of the daemon's own is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug)]
struct Open {
    socket: Own,
    users: usize,
}

#[derive(Debug)]
enum Own {
    Tcp(Listener),
    Unix(SocketFile),
}

/// One use of a socket of the daemon's own. Dropping the last one closes it.
#[derive(Debug)]
struct Lease {
    sockets: Arc<Sockets>,
    place: Place,
}

impl Sockets {
    /// Those that the daemon was started with (`LISTEN_FDS`, `LISTEN_FDNAMES`). To be called once, before anything opens a
    /// descriptor or starts a thread.
    #[must_use]
    pub fn inherit() -> Self {
        Self { inherited: inherited::take(), ..Self::default() }
    }

    /// Listens: one socket, or all that the daemon was started with under that name.
    ///
    /// # Errors
    /// The address is in use, the path cannot be had, no socket has that name.
    pub(in crate::triggers) fn listen(self: &Arc<Self>, listen: &Listen) -> Result<Vec<Bound>, TriggerError> {
        let failed = |source| TriggerError::Listen { at: listen.to_string(), source };
        match listen {
            Listen::Tcp(address) => Ok(vec![self.tcp(*address).map_err(failed)?]),
            Listen::Unix { path, mode } => Ok(vec![self.unix(path, *mode)?]),
            Listen::Inherited(name) => self.inherited(name),
        }
    }

    fn tcp(self: &Arc<Self>, address: SocketAddr) -> io::Result<Bound> {
        let mut open = self.open.lock();
        if let Some(found) = open.get_mut(&Place::Tcp(address)).filter(|_| address.port() != 0) {
            return self.one_more(Place::Tcp(address), found);
        }
        let (listener, address) = tcp(address, BACKLOG)?;
        self.first(&mut open, Place::Tcp(address), Own::Tcp(listener))
    }

    fn unix(self: &Arc<Self>, path: &Path, mode: u32) -> Result<Bound, TriggerError> {
        let failed = |source| TriggerError::Listen { at: format!("unix:{}", path.display()), source };
        let place = Place::Unix(path.to_owned());
        let mut open = self.open.lock();
        if let Some(found) = open.get_mut(&place) {
            return self.one_more(place, found).map_err(failed);
        }
        let wrong = |source| TriggerError::SocketFile { at: format!("unix:{}", path.display()), source };
        let socket = SocketFile::bind(path, mode, BACKLOG).map_err(|error| match error {
            SocketFileError::Bind(source) => failed(source),
            error => wrong(error.into()),
        })?;
        self.first(&mut open, place, Own::Unix(socket)).map_err(failed)
    }

    /// Keeps a socket for its first user, and whoever else asks.
    fn first(self: &Arc<Self>, open: &mut HashMap<Place, Open>, place: Place, socket: Own) -> io::Result<Bound> {
        let mut made = Open { socket, users: 0 };
        let bound = self.one_more(place.clone(), &mut made)?;
        open.insert(place, made);
        Ok(bound)
    }

    /// A descriptor of its own for one more user.
    fn one_more(self: &Arc<Self>, place: Place, open: &mut Open) -> io::Result<Bound> {
        let listener = match &open.socket {
            Own::Tcp(listener) => listener.try_clone()?,
            Own::Unix(file) => Listener::Unix(file.listener().try_clone()?),
        };
        open.users += 1;
        Ok(Bound::new(listener, Some(Lease { sockets: Arc::clone(self), place })))
    }

    fn inherited(&self, name: &str) -> Result<Vec<Bound>, TriggerError> {
        let mut found = Vec::new();
        for socket in self.inherited.iter().filter(|socket| socket.name == name) {
            let listen = |source| TriggerError::Listen { at: format!("inherited:{name}"), source };
            let wrong = |why: &String| TriggerError::Settings(format!("cannot listen at `inherited:{name}`: {why}"));
            let listener = socket.socket.as_ref().map_err(wrong)?;
            found.push(Bound::new(listener.try_clone().map_err(listen)?, None));
        }
        if found.is_empty() {
            let known = self.inherited.iter().map(|socket| socket.name.clone()).collect();
            return Err(TriggerError::NotInherited { name: name.to_owned(), known });
        }
        Ok(found)
    }

    /// Gives the file of a Unix socket that is open other permission bits.
    ///
    /// # Errors
    /// The system's.
    pub(in crate::triggers) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        match self.open.lock().get(&Place::Unix(path.to_owned())) {
            Some(Open { socket: Own::Unix(file), .. }) => file.set_mode(mode),
            _ => Ok(()),
        }
    }
}

impl Lease {
    /// Whether others use the same socket.
    fn is_shared(&self) -> bool {
        self.sockets.open.lock().get(&self.place).is_some_and(|open| open.users > 1)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock();
        let Some(found) = open.get_mut(&self.place) else { return };
        found.users -= 1;
        if found.users == 0 {
            // Closed under the lock: whoever asks next finds the address free.
            drop(open.remove(&self.place));
        }
    }
}

#[cfg(test)]
mod tests;
