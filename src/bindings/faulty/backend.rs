//! What the workers share, and what outlives a backend.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
};

use parking_lot::Mutex;

use super::actor::FaultyFactory;
use crate::bindings::{BindingError, BindingFactory};

/// Openings that fail after `broken_start`.
const BROKEN_STARTS: u32 = 2;

/// What outlives the backends, by the binding's name.
static FATES: LazyLock<Mutex<HashMap<Arc<str>, Arc<Fate>>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Fate {
    /// Openings that fail from now on.
    broken_starts: AtomicU32,
    sick_for_good: AtomicBool,
}

/// A backend that can be made sick.
pub(super) struct Backend {
    pub(super) name: Arc<str>,
    fate: Arc<Fate>,
    sick: AtomicBool,
}

/// Opens a backend, unless that is to fail.
pub(in crate::bindings) fn start(name: Arc<str>) -> Result<Arc<dyn BindingFactory>, BindingError> {
    let fate = Arc::clone(FATES.lock().entry(Arc::clone(&name)).or_default());
    if fate.broken_starts.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
        return Err(BindingError::Injected { binding: name });
    }
    let backend = Backend { name, fate, sick: AtomicBool::new(false) };
    Ok(Arc::new(FaultyFactory::new(Arc::new(backend))))
}

impl Backend {
    pub(super) fn fall_sick(&self, for_good: bool) {
        self.sick.store(true, SeqCst);
        self.fate.sick_for_good.fetch_or(for_good, SeqCst);
    }

    pub(super) fn get_well(&self) {
        self.sick.store(false, SeqCst);
        self.fate.sick_for_good.store(false, SeqCst);
    }

    pub(super) fn break_starts(&self) {
        self.fate.broken_starts.store(BROKEN_STARTS, SeqCst);
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let sick = self.sick.load(SeqCst) || self.fate.sick_for_good.load(SeqCst);
        if sick { Err(format!("the backend of binding `{}` was told to be sick", self.name)) } else { Ok(()) }
    }
}
