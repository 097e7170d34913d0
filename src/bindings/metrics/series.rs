//! One series: its value, which workers change at the same time without a lock.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::operations::Change;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values, counted by size.
    Histogram,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// The value of a series at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// What was counted.
    Counter(f64),
    /// How it stands.
    Gauge(f64),
    /// What was observed.
    Histogram {
        /// The sum of all values.
        sum: f64,
        /// How many values.
        count: u64,
        /// How many lie in each bucket alone, with its upper bound; the last bound is infinite.
        buckets: Vec<(f64, u64)>,
    },
}

/// A value that changes.
#[derive(Debug)]
pub(super) enum Value {
    Counter(Number),
    Gauge(Number),
    Histogram { bounds: Arc<[f64]>, counts: Box<[AtomicU64]>, sum: Number },
}

impl Value {
    /// The value before anything happened. `bounds` are those of a histogram.
    pub(super) fn new(kind: Kind, bounds: &Arc<[f64]>) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Number::default()),
            Kind::Gauge => Self::Gauge(Number::default()),
            Kind::Histogram => Self::Histogram {
                bounds: Arc::clone(bounds),
                counts: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
                sum: Number::default(),
            },
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram { .. } => Kind::Histogram,
        }
    }

    /// The bounds of a histogram.
    pub(super) fn bounds(&self) -> Option<&[f64]> {
        match self {
            Self::Histogram { bounds, .. } => Some(bounds),
            Self::Counter(_) | Self::Gauge(_) => None,
        }
    }

    /// Makes a change of its kind.
    pub(super) fn change(&self, change: Change) {
        match (self, change) {
            (Self::Counter(number), Change::Count(by)) | (Self::Gauge(number), Change::Add(by)) => number.add(by),
            (Self::Gauge(number), Change::Set(value)) => number.set(value),
            (Self::Histogram { bounds, counts, sum }, Change::Observe(value)) => {
                let bucket = bounds.partition_point(|bound| *bound < value);
                if let Some(count) = counts.get(bucket) {
                    count.fetch_add(1, Relaxed);
                }
                sum.add(value);
            }
            // The registry compares kinds before.
            (Self::Counter(_) | Self::Gauge(_) | Self::Histogram { .. }, _) => {}
        }
    }

    pub(super) fn read(&self) -> Reading {
        match self {
            Self::Counter(number) => Reading::Counter(number.get()),
            Self::Gauge(number) => Reading::Gauge(number.get()),
            Self::Histogram { bounds, counts, sum } => {
                let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                let buckets: Vec<_> = bounds.zip(counts.iter().map(|count| count.load(Relaxed))).collect();
                // Not counted apart, so that the two always agree.
                let count = buckets.iter().map(|(_, count)| count).sum();
                Reading::Histogram { sum: sum.get(), count, buckets }
            }
        }
    }
}

/// A floating-point number that is always finite.
#[derive(Debug, Default)]
pub(super) struct Number(AtomicU64);

impl Number {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    fn add(&self, by: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + by).clamp(f64::MIN, f64::MAX).to_bits());
        // It always gives a new value, so it never fails.
        self.0.fetch_update(Relaxed, Relaxed, sum).ok();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn changes_of_many_threads_add_up() {
        let (counter, gauge) = (Value::new(Kind::Counter, &[].into()), Value::new(Kind::Gauge, &[].into()));
        let histogram = Value::new(Kind::Histogram, &[1.0, 2.0].into());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.change(Change::Count(0.5));
                        gauge.change(Change::Add(-1.0));
                        [1.0, 1.5, 3.0].iter().for_each(|value| histogram.change(Change::Observe(*value)));
                    }
                });
            }
        });
        assert_eq!((counter.read(), gauge.read()), (Reading::Counter(2000.0), Reading::Gauge(-4000.0)));
        let buckets = vec![(1.0, 4000), (2.0, 4000), (f64::INFINITY, 4000)];
        assert_eq!(histogram.read(), Reading::Histogram { sum: 22_000.0, count: 12_000, buckets });
    }

    #[test]
    fn numbers_stay_finite() {
        let gauge = Value::new(Kind::Gauge, &[].into());
        gauge.change(Change::Set(f64::MAX));
        gauge.change(Change::Add(f64::MAX));
        assert_eq!(gauge.read(), Reading::Gauge(f64::MAX));
        gauge.change(Change::Add(f64::MIN));
        gauge.change(Change::Add(f64::MIN));
        gauge.change(Change::Add(f64::MIN));
        assert_eq!(gauge.read(), Reading::Gauge(f64::MIN));
    }
}
