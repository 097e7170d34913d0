//! Files from outside: noticed when they have changed and rest, and read whole or not at all; and sockets as files.

pub(crate) mod names;
pub(crate) mod read;
pub(crate) mod socket;
pub(crate) mod watch;
