//! The `log` binding: a guest's lines in the daemon's log.
//!
//! | operation | payload | answer |
//! |---|---|---|
//! | `trace` `debug` `info` `warn` `error` | one text, raw | empty |
//!
//! The operation is the level. Text is read as lossy UTF-8 and cut at [`MAX_TEXT`] at a character's boundary; a line
//! that was cut carries its full length in the field `cut_from`. Every line has the target [`TARGET`] and the fields
//! `module`, `instance`, `call`, `binding`, and `namespace` where the guest named one.
//!
//! The lines of an instance are limited, together with those of its console: 1000 at once and 200 a second. What
//! is over it is dropped, the guest is answered all the same, and how many lines it were is logged under the same target.
//!
//! Errors: `no_such_operation`, listing what there is. There are no settings, and no state.

mod actor;
mod operations;

pub(super) use actor::LogFactory;
pub(super) use operations::OPERATIONS;
pub use operations::{MAX_TEXT, TARGET};
