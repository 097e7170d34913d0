//! The `module` binding: a guest calls another module.
//!
//! | namespace | operation | payload | answer |
//! |---|---|---|---|
//! | name of the target module | any of its operations | raw | the target's response, raw |
//!
//! The rest of the caller's deadline travels along, and so does the chain of waiting modules: a call that would wait
//! for itself is answered with `cycle` at once. What the target's failures look like to the caller is decided by the
//! [`ModuleCaller`](super::ModuleCaller), which lives above this layer.
//!
//! Errors of this layer: `bad_request` where the namespace is empty. There are no settings.

mod actor;
mod operations;

pub(super) use actor::ModuleFactory;
