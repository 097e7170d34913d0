//! Lets the service manager keep listening sockets, so that a restart of the daemon refuses nobody.

use std::os::fd::BorrowedFd;

use super::board::{Board, Phase};
use crate::triggers::SocketKeeper;

impl SocketKeeper for Board {
    fn keep(&self, name: &str, socket: BorrowedFd<'_>) {
        match socket.try_clone_to_owned() {
            Ok(socket) => self.store(name, socket),
            Err(error) => tracing::warn!(socket = name, %error, "a socket will not outlive the daemon"),
        }
    }

    fn forget(&self, name: &str) {
        self.remove(name);
    }

    fn is_for_next(&self) -> bool {
        *self.phase().borrow() == Phase::Stopping
    }
}
