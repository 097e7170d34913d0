//! Files from outside: noticed when they have changed and rest, and read whole or not at all.

pub(crate) mod names;
pub(crate) mod read;
pub(crate) mod watch;
