//! The configuration: every TOML key, its type, default, unit and check.
//!
//! ```text
//!            load                 reader                  sections              check
//! file ──► text ──► DeTable ──► Section, Node ──► values with their places ──► Config
//!                                  │                      │                      │
//!                                  └──────── Report: every problem, with its place ───► ConfigErrors
//! ```
//!
//! * [`load()`], [`parse`] and, for a file of the drop-in directory, [`dropped()`] are the only ways in; [`Config`] is the only thing that leaves: plain values, units resolved,
//!   paths absolute, references checked. What the parser read stays here.
//! * `sections` has a file for each section; `check` decides what concerns several of them.
//! * `defaults` and `bounds` hold every number, with its reason. `docs/configuration.md` and `etc/wapcd.toml` are held
//!   against them by tests.
//! * A configuration is one file, or that and those it includes: `include` finds them, `merge` holds their names apart, and
//!   each has a `Report` of its own, so that every problem names its file.
//! * Nothing is read but these files, and nothing is asked of the system: that comes in as an [`Environment`]. Whether
//!   a wasm file exists or a database can be opened is not a question for this part.

mod bounds;
mod check;
pub mod defaults;
mod dropped;
mod environment;
mod error;
mod files;
mod include;
mod load;
mod merge;
mod model;
mod plan;
mod reader;
mod routing;
mod sections;
mod size;
mod time;

#[cfg(test)]
mod tests;

pub use self::{
    dropped::{check_name, dropped},
    environment::Environment,
    error::{ConfigError, ConfigErrorKind, ConfigErrors, Position},
    load::{load, parse},
    model::*,
    plan::{Change, ChangeAction, Changed, Plan, plan},
    routing::{Found, RouteProblem, Router},
    size::{Size, SizeError},
    time::{TimeError, TimeSpan},
};
