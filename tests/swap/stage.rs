//! What the tests of this program share: how large they are, how files come and go, what must stay as it is.

use std::{collections::BTreeMap, env, fs, path::Path};

use wapcd::supervisor::status::{ModuleStatus, Status, SwapReport};

use crate::{client::Response, guest, harness::Daemon};

/// Whether everything is proved at its full size, instead of what a build bears.
pub(crate) fn full() -> bool {
    env::var_os("WAPCD_TEST_FULL").is_some_and(|value| value == "1")
}

/// One of two sizes of a proof.
pub(crate) fn sized<T>(usual: T, full_size: T) -> T {
    if full() { full_size } else { usual }
}

/// Puts a file in its place as one should: written beside it, then renamed over it.
pub(crate) fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

/// A module of the guests of builds, with further keys, which come before any table.
pub(crate) fn module(name: &str, keys: &str) -> String {
    format!("[modules.{name}]\npath = \"{name}.wasm\"\n{keys}\n")
}

/// What a module answers to `build`; it must.
pub(crate) fn running_build(daemon: &Daemon, module: &str) -> String {
    let answer = daemon.call(module, "build", b"");
    assert_eq!(answer.status, 200, "{module}: {}", answer.text());
    answer.text()
}

/// Asks a daemon for a swap with these bytes.
pub(crate) fn swap(daemon: &Daemon, module: &str, bytes: &[u8]) -> Response {
    daemon.request("POST", &format!("/v1/modules/{module}/swap"), "", bytes).unwrap()
}

/// The same, which must succeed.
pub(crate) fn swapped(daemon: &Daemon, module: &str, bytes: &[u8]) -> SwapReport {
    let answer = swap(daemon, module, bytes);
    assert_eq!(answer.status, 200, "swap of {module}: {}", answer.text());
    let report: SwapReport = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(report.module.sha256.as_deref(), Some(guest::sha256(bytes).as_str()), "{report:?}");
    report
}

/// What must not change in a module that nobody touches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kept {
    instances: Vec<(u64, usize, usize, u64)>,
    generation: u64,
    sha256: Option<String>,
    restarts: u64,
    path: String,
}

impl Kept {
    pub(crate) fn of(module: &ModuleStatus) -> Self {
        let instances = module.instances.iter().map(|one| (one.id, one.slot, one.worker, one.generation)).collect();
        Self {
            instances,
            generation: module.generation,
            sha256: module.sha256.clone(),
            restarts: module.restarts,
            path: module.path.clone(),
        }
    }

    /// Of all modules by name.
    pub(crate) fn of_all(status: &Status) -> BTreeMap<String, Self> {
        status.modules.iter().map(|module| (module.name.clone(), Self::of(module))).collect()
    }
}

/// The whole status without what time and the question itself change.
pub(crate) fn timeless(mut status: Status) -> Status {
    status.uptime_s = 0.0;
    for module in &mut status.modules {
        module.uptime_s = None;
        module.instances.iter_mut().for_each(|instance| instance.uptime_s = 0.0);
    }
    status.bindings.iter_mut().for_each(|binding| binding.uptime_s = None);
    status.configuration.last_error = None;
    status.configuration.reloads_refused = 0;
    status
}

/// The causes that a module's status gives for its last swap that failed, in one line; empty where none has.
pub(crate) fn last_swap_error(module: &ModuleStatus) -> String {
    module.last_swap_error.as_ref().map(|error| error.causes.join(": ")).unwrap_or_default()
}
