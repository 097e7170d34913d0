//! Servers that are killed, paused, restarted and cut off while messages go through them.
