//! A guest that counts its visitors in its own memory, and hands the number over to the build that replaces it.

use std::cell::Cell;

use wapc_guest::prelude::*;

/// Which build this is. The third has a mistake that nobody has noticed yet.
const BUILD: u32 = if cfg!(feature = "build-3") {
    3
} else if cfg!(feature = "build-2") {
    2
} else {
    1
};

thread_local! {
    static VISITS: Cell<u64> = const { Cell::new(0) };
}

/// The host calls this once, after loading the guest and before the first call.
#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("visit", visit);
    register_function("health", health);
    register_function("save", save);
    register_function("load", load);
}

fn visit(_: &[u8]) -> CallResult {
    if BUILD == 3 {
        panic!("this is the mistake");
    }
    VISITS.set(VISITS.get() + 1);
    Ok(format!("visit {}, build {BUILD}", VISITS.get()).into_bytes())
}

/// The probe: whether this build is fit to take over.
fn health(_: &[u8]) -> CallResult {
    Ok(b"ok".to_vec())
}

/// `export`: the old build answers with its state, in a form that the next build will understand.
fn save(_: &[u8]) -> CallResult {
    Ok(VISITS.get().to_string().into_bytes())
}

/// `import`: the new build takes the state. An error keeps the old build.
fn load(state: &[u8]) -> CallResult {
    VISITS.set(std::str::from_utf8(state)?.parse()?);
    Ok(vec![])
}
