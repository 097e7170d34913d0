//! One family of metrics: its description, then a sample for each set of labels.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric as _, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

use crate::supervisor::status::Latency;

/// The labels of a sample, name and value.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// What a family is. The unit is the end of its name in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// Its name, without its unit and without `_total`.
    pub(super) name: &'static str,
    pub(super) unit: Option<&'static Unit>,
    /// One sentence.
    pub(super) help: &'static str,
}

impl Family {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, unit: None, help }
    }

    pub(super) const fn bytes(name: &'static str, help: &'static str) -> Self {
        Self { name, unit: Some(&Unit::Bytes), help }
    }

    pub(super) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Self { name, unit: Some(&Unit::Seconds), help }
    }

    /// Writes what goes up and down.
    pub(super) fn gauges<'a, V: EncodeGaugeValue>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Gauge)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Writes what only goes up.
    pub(super) fn counters<'a, V: EncodeCounterValue>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Counter)?;
        for (labels, value) in samples {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Writes facts that do not change, as labels.
    pub(super) fn info(self, encoder: &mut DescriptorEncoder<'_>, labels: &Labels<'_>) -> fmt::Result {
        encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Info)?.encode_info(labels)
    }

    /// Writes distributions.
    pub(super) fn histograms<'a>(
        self,
        encoder: &mut DescriptorEncoder<'_>,
        samples: impl IntoIterator<Item = (Labels<'a>, &'a Latency)>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(self.name, self.help, self.unit, MetricType::Histogram)?;
        for (labels, latency) in samples {
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(latency.sum_s, latency.count, &each(latency), None)?;
        }
        Ok(())
    }
}

/// What lies in each bucket alone, which is what the encoder adds up; the last is that of everything slower.
fn each(latency: &Latency) -> Vec<(f64, u64)> {
    let mut below = 0;
    let all = latency.buckets.iter().copied().chain([(f64::INFINITY, latency.count)]);
    all.map(|(bound, up_to)| {
        let alone = up_to.saturating_sub(below);
        below = below.max(up_to);
        (bound, alone)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_include_those_before_are_taken_apart() {
        let latency = Latency { count: 10, sum_s: 1.0, buckets: vec![(0.1, 2), (0.2, 2), (0.4, 7)] };
        assert_eq!(each(&latency), [(0.1, 2), (0.2, 0), (0.4, 5), (f64::INFINITY, 3)]);
        assert_eq!(each(&Latency::default()), [(f64::INFINITY, 0)]);
    }
}
