//! Files from outside: noticed when they have changed and rest, and read whole or not at all; secrets in files; and sockets as
//! files.

pub(crate) mod fingerprint;
mod lease;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod read;
pub(crate) mod secret;
pub(crate) mod socket;
pub(crate) mod watch;
