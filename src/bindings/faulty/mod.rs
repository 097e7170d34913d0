//! The `faulty` binding: breaks as it is told. For the tests of wapcd only: it is built with the feature
//! `fault-injection`, and with it `type = "faulty"` can be configured, without settings.
//!
//! | operation | payload | what happens |
//! |---|---|---|
//! | `echo` | any | the payload is the answer |
//! | `panic` | the message | a panic in the call |
//! | `panic_later` | the message | a panic in the call's future, after it gave way once |
//! | `maybe` | N in decimal | a panic once in N calls, at random; else as `echo` |
//! | `block` | milliseconds | the thread of the worker is blocked so long, then as `echo` |
//! | `slow` | milliseconds | the answer comes so much later, and nothing is blocked |
//! | `sick` | empty, or `for_good` | the backend's check fails from now on, on all workers |
//! | `well` | any | the backend's check succeeds again |
//! | `broken_start` | any | the next two openings of a backend under this binding's name fail |
//!
//! A backend that is opened anew is well, unless the sickness was `for_good`: that, as the broken starts do, outlives the
//! backend, for the life of the process.
//!
//! Errors: `bad_request` for a payload that is no number, `no_such_operation`.

mod actor;
mod backend;
mod operations;

pub(super) use self::{backend::start, operations::OPERATIONS};
