//! Walks what the TOML parser read, and goes on after a problem, so that one run reports every mistake of a file.
//!
//! ```text
//! syntax::parse ──► DeTable ──► Section ──get(key)──► Node ──size(), time(), text() …──► plain value
//!       │                          │ finish(): keys that nobody asked for   │
//!       └──────────────────────────┴───────────► Report ◄───────────────────┘
//! ```
//!
//! A `Section` is a table whose keys are known, a `Node` is one value with its place and key path. Both write problems
//! into the `Report` and answer `None`; whoever reads goes on with the default, since the result is thrown away anyway.

mod node;
mod report;
mod section;
mod suggest;
mod syntax;
mod values;

pub(super) use self::{
    node::Node,
    report::{Problem, Report},
    section::{Named, Section},
    suggest::did_you_mean,
    syntax::parse,
};
