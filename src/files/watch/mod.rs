//! Notices when files have changed and rest again. It reads none of them: it says "look at this path".
//!
//! ```text
//!   supervisor ── set, configure, look_again ──▶ ┌───────┐        ┌─────────────────────────────┐
//!                                                │ inbox │ ─────▶ │ thread `wapcd-watch`        │
//!   kernel ─▶ notify's thread ── "look there" ─▶ └───────┘        │   Sights: what is looked at │ ─▶ Notice::Settled
//!                    ▲                                            │     Settling, one a file    │    (path, file or gone)
//!                    │                                            │     Route, one a file       │
//!                    └── watched directories ── Notices ◀──────── └─────────────────────────────┘
//!                                                                   wakes when a file is due, to poll what is
//!                                                                   silent, and every 30 s to look at everything
//! ```
//!
//! A look takes a file's fingerprint through all links and gives it to `settle.rs`, which alone decides whether it is
//! reported, waits, or is nothing new. Why somebody looks does not matter, with one exception: a notice that something was
//! renamed into place spares it the wait. So nothing depends on which notices arrive: without any, the next poll or scan
//! ends in the same reports, later.
//!
//! * `settle.rs`: when a changed file is worth reading. Pure.
//! * `route.rs`: which names in which directories decide what a path means.
//! * `notices.rs`, with `kinds.rs`: which directories the kernel watches for us, and which are polled instead.
//! * `inbox.rs`: what the thread is told, merged.
//! * `sights.rs`, with `target.rs`: everything that is looked at, and the looking.
//! * `watcher.rs`: the thread and its handle.
//!
//! A directory is watched before what is in it is looked at; where a look finds another way, the directories on it are
//! watched and the look is repeated. Two things stay unseen until the next scan: a directory far above that is renamed, and
//! whatever happens where the kernel keeps silent in spite of its kind.

mod inbox;
mod kinds;
mod notices;
mod route;
mod settle;
mod sights;
mod target;
#[cfg(test)]
mod tests;
mod watcher;

pub(crate) use self::{
    target::{Target, TargetKind},
    watcher::{Notice, Watcher},
};
