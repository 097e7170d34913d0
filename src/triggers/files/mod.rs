//! The `files` trigger: a directory as an inbox. Each file that rests in it is a guest call, and is moved to `done` or `failed`.
//!
//! ```text
//!   watcher ── names, or "look at everything" ──▶ News ──▶ work ── one at a time, or `concurrency` ──▶ one file:
//!                                                           │                                          read, call, move
//!                                                        Waiting: names, in the order of mtime and name
//! ```
//!
//! A file counts as taken when it is moved away, and only then: whatever happens before, a `kill -9` included, it is still
//! there and is processed again. What the guest got is compared with what is there right before it is moved; if that is
//! something else, it stays and is processed too.
//!
//! * `work.rs`: the loop that knows everything; `waiting.rs`: the names that it knows, in order; `news.rs`: what it is told.
//! * `one.rs`: one file from reading to moving; `verdict.rs`: what the end of a call means for a file; `report.rs`: the text
//!   beside a file that failed; `payload.rs`: what the guest gets.
//! * `inbox.rs`, with `moves.rs` and `names.rs`: what is done in the file system, without following a link. `rest.rs`: when a
//!   file rests.
//! * `shared.rs`: what all of them share; `running.rs`: the trigger as the supervisor has it.
//!
//! Whatever touches files runs on threads that may block; neither workers nor connections wait for a disk.

mod inbox;
mod moves;
mod names;
mod news;
mod one;
mod payload;
mod report;
mod rest;
mod running;
mod shared;
mod verdict;
mod waiting;
mod work;

pub(super) use self::running::{prepare, start};
