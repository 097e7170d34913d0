//! The shipped configuration and the reference, held against the code.

mod reference;
mod schema;
mod shipped;
mod values;

pub(super) use self::schema::{schema, types};
