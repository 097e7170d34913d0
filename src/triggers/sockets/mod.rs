//! Sockets that connections come in at: those that the daemon was started with, and those that it made.
//!
//! Whoever asks for a socket that is open gets the same one, so that a reload which gives it to another trigger neither
//! closes it nor finds it in use; the last user closes it. Those that the daemon was started with stay open for its life, so
//! that a listener that goes with a reload can come back, and what waits in them is for the next daemon.
//!
//! Where there is a [`SocketKeeper`], those that the daemon made stay open beyond its end, and the next daemon goes on with
//! them.

mod bound;
mod descriptors;
mod inherited;
mod shares;
mod stored;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

pub(in crate::triggers) use self::{
    bound::{Bound, Registered, Stream},
    descriptors::is_left_to_others,
    shares::{Share, Shares},
};
use self::{
    bound::{Listener, tcp},
    inherited::Inherited,
    stored::{Stored, name_of},
};
pub use self::{descriptors::raise_descriptor_limit, stored::SocketKeeper};
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
    /// Those of the daemon before that nobody has asked for yet.
    stored: Mutex<Vec<Stored>>,
    keeper: Option<Arc<dyn SocketKeeper>>,
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
    /// What it is kept under, where it is.
    kept: Option<String>,
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

    /// The same with somebody who keeps those that the daemon makes. What was kept before is for whoever asks for its address.
    #[must_use]
    pub fn kept_by(self, keeper: Arc<dyn SocketKeeper>) -> Self {
        let (stored, inherited, useless) = stored::part(self.inherited);
        useless.iter().for_each(|name| keeper.forget(name));
        Self { inherited, stored: Mutex::new(stored), keeper: Some(keeper), ..Self::default() }
    }

    /// Closes what was kept before and nobody has asked for. To be called when everybody had the time to ask.
    pub fn close_unwanted(&self) {
        for Stored { name, place, listener } in std::mem::take(&mut *self.stored.lock()) {
            tracing::info!(socket = name, "closing a socket of the daemon before, at which nobody listens any more");
            self.keeper.iter().for_each(|keeper| keeper.forget(&name));
            if let (Place::Unix(path), Listener::Unix(listener)) = (&place, listener) {
                // With its file, if that is still there.
                drop(SocketFile::adopt(path, None, listener));
            }
        }
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
        if let Some((name, listener @ Listener::Tcp(_))) = self.take_stored(&Place::Tcp(address)) {
            return self.first(&mut open, Place::Tcp(address), Own::Tcp(listener), Some(name));
        }
        // One that the system chooses is another the next time.
        let is_chosen = address.port() == 0;
        let (listener, address) = tcp(address, BACKLOG)?;
        let place = Place::Tcp(address);
        let kept = if is_chosen { None } else { self.keep(&place, &listener) };
        self.first(&mut open, place, Own::Tcp(listener), kept)
    }

    fn unix(self: &Arc<Self>, path: &Path, mode: u32) -> Result<Bound, TriggerError> {
        let failed = |source| TriggerError::Listen { at: format!("unix:{}", path.display()), source };
        let place = Place::Unix(path.to_owned());
        let mut open = self.open.lock();
        if let Some(found) = open.get_mut(&place) {
            return self.one_more(place, found).map_err(failed);
        }
        let wrong = |source| TriggerError::SocketFile { at: format!("unix:{}", path.display()), source };
        if let Some((name, Listener::Unix(listener))) = self.take_stored(&place) {
            match SocketFile::adopt(path, Some(mode), listener) {
                Ok(socket) => return self.first(&mut open, place, Own::Unix(socket), Some(name)).map_err(failed),
                Err(error) => {
                    tracing::warn!(socket = %path.display(), %error, "cannot go on with the socket of the daemon before");
                    self.keeper.iter().for_each(|keeper| keeper.forget(&name));
                }
            }
        }
        let socket = SocketFile::bind(path, mode, BACKLOG).map_err(|error| match error {
            SocketFileError::Bind(source) => failed(source),
            error => wrong(error.into()),
        })?;
        let kept = self.keep(&place, socket.listener());
        self.first(&mut open, place, Own::Unix(socket), kept).map_err(failed)
    }

    /// Lets a socket be kept beyond the daemon's end; what it is kept under.
    fn keep(&self, place: &Place, socket: &impl AsFd) -> Option<String> {
        let name = name_of(place);
        self.keeper.as_ref()?.keep(&name, socket.as_fd());
        Some(name)
    }

    /// What was kept of that place, and under which name.
    fn take_stored(&self, place: &Place) -> Option<(String, Listener)> {
        let mut stored = self.stored.lock();
        let at = stored.iter().position(|stored| stored.place == *place)?;
        let Stored { name, listener, .. } = stored.swap_remove(at);
        Some((name, listener))
    }

    /// Has a socket for its first user, and whoever else asks.
    fn first(
        self: &Arc<Self>,
        open: &mut HashMap<Place, Open>,
        place: Place,
        socket: Own,
        kept: Option<String>,
    ) -> io::Result<Bound> {
        let mut made = Open { socket, kept, users: 0 };
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

    /// Closes a socket that has no user any more; one that is kept stays open for the next daemon, where this one ends.
    fn close(&self, Open { socket, kept, .. }: Open) {
        let (Some(keeper), Some(name)) = (&self.keeper, kept) else { return };
        if !keeper.is_for_next() {
            return keeper.forget(&name);
        }
        if let Own::Unix(file) = socket {
            file.leave();
        }
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
            open.remove(&self.place).into_iter().for_each(|last| self.sockets.close(last));
        }
    }
}

#[cfg(test)]
mod tests;
