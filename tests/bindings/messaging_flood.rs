//! Many messages and many subscribers.
