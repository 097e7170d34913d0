//! What the process may do beyond what it needs: told, or given up, where that can be done.

use rustix::{
    fs::Mode,
    process::{geteuid, umask},
};

/// Warns of a process that may do everything, and lets nobody but its user and group write the files that it makes. Who may
/// read them is for the operator to say: by `UMask=` in the unit, which the shipped one has. To be called before anything is
/// written.
pub fn guard() {
    // The mask can only be read by setting it.
    let given = umask(Mode::RWXG | Mode::RWXO);
    umask(given | Mode::WOTH);
    if geteuid().is_root() {
        tracing::warn!(
            "wapcd runs as root: a fault in it could change everything on this machine; run it as a user of its own, as the \
             packaged service does"
        );
    }
}
