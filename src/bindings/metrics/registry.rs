//! Every series of every module: one value for the daemon, which outlives bindings and instances.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;

use super::{
    names,
    operations::Request,
    series::{Kind, Reading, Value},
};
use crate::host::{HostCallError, HostErrorKind};

/// What stands before the names of guests on the page: nothing of the daemon begins so.
const PREFIX: &str = "guest_";

/// What guests count.
#[derive(Debug, Default)]
pub struct GuestMetrics(RwLock<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// What each name is, and how many series have it.
    names: HashMap<Box<str>, (Kind, usize)>,
    modules: HashMap<Arc<str>, Module>,
}

#[derive(Debug, Default)]
struct Module {
    /// By name and labels, as [`Metric::write_key`](super::operations::Metric::write_key) has them.
    series: HashMap<Box<[u8]>, Arc<GuestSeries>>,
    /// Bounds of each histogram.
    bounds: HashMap<Box<str>, Arc<[f64]>>,
}

/// All series of one name.
#[derive(Debug)]
pub struct GuestFamily {
    /// The name on the page, without what the kind adds to it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its series, by module and labels.
    pub series: Vec<Arc<GuestSeries>>,
}

/// One series.
#[derive(Debug)]
pub struct GuestSeries {
    module: Arc<str>,
    name: Box<str>,
    labels: Box<[(Box<str>, Box<str>)]>,
    value: Value,
}

impl GuestSeries {
    /// Whose it is.
    #[must_use]
    pub fn module(&self) -> &str {
        &self.module
    }

    /// Names and values of its labels, sorted by name, without that of the module.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Its value now.
    #[must_use]
    pub fn reading(&self) -> Reading {
        self.value.read()
    }
}

impl GuestMetrics {
    /// Changes a series, which is made where it is missing.
    ///
    /// # Errors
    /// `conflict` where the name is another kind of metric, `too_large` where the module has its most series, `bad_request`
    /// where a new series has names that nobody may have.
    pub(super) fn change(
        &self,
        module: &Arc<str>,
        request: &Request<'_>,
        key: &[u8],
        max_series: usize,
    ) -> Result<(), HostCallError> {
        {
            let registry = self.0.read();
            if let Some(series) = registry.modules.get(module).and_then(|module| module.series.get(key)) {
                return series.change(request);
            }
        }
        names::check(&request.metric)?;
        let mut registry = self.0.write();
        registry.series(module, request, key, max_series)?.change(request)
    }

    /// Everything, by name.
    #[must_use]
    pub fn families(&self) -> Vec<GuestFamily> {
        let mut families: BTreeMap<Box<str>, Vec<Arc<GuestSeries>>> = BTreeMap::new();
        // Only the pointers are copied while guests that want new series wait.
        let all: Vec<Arc<GuestSeries>> =
            self.0.read().modules.values().flat_map(|module| module.series.values().cloned()).collect();
        for series in all {
            families.entry(series.name.clone()).or_default().push(series);
        }
        let family = |(name, mut series): (Box<str>, Vec<Arc<GuestSeries>>)| {
            series.sort_by(|one, other| (&one.module, &one.labels).cmp(&(&other.module, &other.labels)));
            let kind = series.first()?.value.kind();
            Some(GuestFamily { name: format!("{PREFIX}{name}"), kind, series })
        };
        families.into_iter().filter_map(family).collect()
    }

    /// Drops the series of a module that is no more.
    pub fn forget(&self, module: &str) {
        let mut registry = self.0.write();
        let Some(gone) = registry.modules.remove(module) else { return };
        for series in gone.series.values() {
            if let Some((_, uses)) = registry.names.get_mut(&series.name) {
                *uses -= 1;
                if *uses == 0 {
                    registry.names.remove(&series.name);
                }
            }
        }
    }
}

impl Registry {
    /// The series of that key, made if it is missing.
    fn series(
        &mut self,
        owner: &Arc<str>,
        request: &Request<'_>,
        key: &[u8],
        max_series: usize,
    ) -> Result<Arc<GuestSeries>, HostCallError> {
        let (name, kind) = (&*request.metric.name, request.change.kind());
        match self.names.get(name) {
            Some((other, _)) if *other != kind => return Err(is_another(name, *other, kind)),
            _ => {}
        }
        let known = self.modules.get(owner);
        if let Some(series) = known.and_then(|module| module.series.get(key)) {
            // Another worker was faster.
            return Ok(Arc::clone(series));
        }
        if known.map_or(0, |module| module.series.len()) >= max_series {
            let why = format!("module `{owner}` has {max_series} series, and may have no more (`max_series`)");
            return Err(HostCallError::new(HostErrorKind::TooLarge, why));
        }
        let module = self.modules.entry(Arc::clone(owner)).or_default();
        let bounds = match module.bounds.get(name) {
            Some(bounds) if request.buckets.as_ref().is_some_and(|wanted| **wanted != **bounds) => {
                return Err(other_buckets(name));
            }
            Some(bounds) => Arc::clone(bounds),
            None => Arc::from(request.bounds()),
        };
        if kind == Kind::Histogram {
            module.bounds.insert(name.into(), Arc::clone(&bounds));
        }
        let labels = request.metric.labels.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let (owner, value) = (Arc::clone(owner), Value::new(kind, &bounds));
        let series = Arc::new(GuestSeries { module: owner, name: name.into(), labels, value });
        module.series.insert(key.into(), Arc::clone(&series));
        self.names.entry(name.into()).or_insert((kind, 0)).1 += 1;
        Ok(series)
    }
}

impl GuestSeries {
    fn change(&self, request: &Request<'_>) -> Result<(), HostCallError> {
        let (kind, wanted) = (self.value.kind(), request.change.kind());
        if kind != wanted {
            return Err(is_another(&self.name, kind, wanted));
        }
        if let (Some(wanted), Some(bounds)) = (&request.buckets, self.value.bounds())
            && **wanted != *bounds
        {
            return Err(other_buckets(&self.name));
        }
        self.value.change(request.change);
        Ok(())
    }
}

fn is_another(name: &str, kind: Kind, wanted: Kind) -> HostCallError {
    let (kind, wanted) = (kind.as_str(), wanted.as_str());
    let why = format!("metric `{name}` is a {kind}, of this or another module, and cannot be a {wanted}");
    HostCallError::new(HostErrorKind::Conflict, why)
}

fn other_buckets(name: &str) -> HostCallError {
    let why = format!("histogram `{name}` has other `buckets` since its first use");
    HostCallError::new(HostErrorKind::Conflict, why)
}
