//! What guests count, as families of the page.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use crate::bindings::metrics::{GuestFamily, Kind, Reading};

/// Says what the guests' metrics are, as they say nothing themselves.
const HELP: &str = "A metric of guests, whose meaning is theirs";

/// The metrics of guests at one moment.
#[derive(Debug)]
pub(super) struct Guests(pub(super) Vec<GuestFamily>);

impl Collector for Guests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|family| encode(family, &mut encoder))
    }
}

fn encode(family: &GuestFamily, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let mut encoder = encoder.encode_descriptor(&family.name, HELP, None, kind)?;
    for series in &family.series {
        let labels: Vec<(&str, &str)> = [("module", series.module())].into_iter().chain(series.labels()).collect();
        sample(encoder.encode_family(&labels)?, series.reading())?;
    }
    Ok(())
}

fn sample(mut encoder: MetricEncoder<'_>, reading: Reading) -> fmt::Result {
    match reading {
        Reading::Counter(value) => ConstCounter::new(value).encode(encoder),
        Reading::Gauge(value) => ConstGauge::new(value).encode(encoder),
        Reading::Histogram { sum, count, buckets } => {
            encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        }
    }
}
