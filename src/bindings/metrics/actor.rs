//! Answers the host calls of the `metrics` binding, at once. Owns a share of the registry.

use std::{cell::RefCell, sync::Arc};

use super::{OPERATIONS, operations, registry::GuestMetrics};
use crate::{
    bindings::{
        Answer, Binding, BindingCall, BindingFactory, BindingReply,
        payload::{Format, encode},
    },
    config::MetricsSettings,
    host::HostCallError,
};

/// Makes the `metrics` binding of each worker.
pub(super) struct MetricsFactory {
    name: Arc<str>,
    max_series: usize,
    metrics: Arc<GuestMetrics>,
}

impl MetricsFactory {
    pub(super) fn new(name: Arc<str>, settings: &MetricsSettings, metrics: Arc<GuestMetrics>) -> Self {
        Self { name, max_series: usize::try_from(settings.max_series).unwrap_or(usize::MAX), metrics }
    }
}

impl BindingFactory for MetricsFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Metrics {
            name: Arc::clone(&self.name),
            max_series: self.max_series,
            metrics: Arc::clone(&self.metrics),
            key: RefCell::default(),
        })
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

struct Metrics {
    name: Arc<str>,
    max_series: usize,
    metrics: Arc<GuestMetrics>,
    /// Room for the key of a series, so that one that exists is found without an allocation.
    key: RefCell<Vec<u8>>,
}

impl Binding for Metrics {
    fn call(&self, call: BindingCall) -> Answer {
        Answer::Now(self.answer(&call))
    }
}

impl Metrics {
    fn answer(&self, call: &BindingCall) -> BindingReply {
        let format = match call.operation.as_str() {
            "counter" => self.change(call, operations::counter),
            "gauge" => self.change(call, operations::gauge),
            "histogram" => self.change(call, operations::histogram),
            _ => Err(call.no_such_operation(&self.name, &OPERATIONS)),
        }?;
        encode(format, &operations::Done {})
    }

    fn change(&self, call: &BindingCall, parse: operations::Parse) -> Result<Format, HostCallError> {
        let (request, format) = parse(&call.payload)?;
        let mut key = self.key.borrow_mut();
        request.metric.write_key(&mut key);
        self.metrics.change(&call.caller.module, &request, &key, self.max_series)?;
        Ok(format)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::{
        metrics::{Kind, Reading},
        testing::call,
    };

    fn ask(binding: &dyn Binding, module: &str, operation: &str, payload: &str) -> Result<String, String> {
        let mut call = call(operation, payload);
        call.caller.module = module.into();
        let Answer::Now(reply) = binding.call(call) else { return Err("later".to_owned()) };
        reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    fn start(max_series: u32) -> (Arc<GuestMetrics>, MetricsFactory) {
        let metrics = Arc::new(GuestMetrics::default());
        (Arc::clone(&metrics), MetricsFactory::new("metrics".into(), &MetricsSettings { max_series }, metrics))
    }

    fn page(metrics: &GuestMetrics) -> Vec<String> {
        let line = |family: &str, it: &crate::bindings::metrics::GuestSeries| {
            let value = match it.reading() {
                Reading::Counter(value) | Reading::Gauge(value) => value.to_string(),
                Reading::Histogram { sum, count, .. } => format!("{sum}/{count}"),
            };
            format!("{family} {} {:?} {value}", it.module(), it.labels().collect::<Vec<_>>())
        };
        metrics
            .families()
            .iter()
            .flat_map(|it| it.series.iter().map(|one| line(&it.name, one)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn what_is_counted_adds_up_over_workers_and_is_kept_apart_by_module_and_labels() {
        let (metrics, factory) = start(10);
        let (one, other) = (factory.make(0), factory.make(1));
        for binding in [&*one, &*other] {
            assert_eq!(ask(binding, "a", "counter", r#"{"name":"jobs"}"#).unwrap(), "{}");
        }
        ask(&*one, "a", "counter", r#"{"name":"jobs_total","by":0.5}"#).unwrap();
        ask(&*one, "a", "counter", r#"{"name":"jobs","labels":{"b":"2","a":"1"}}"#).unwrap();
        ask(&*other, "a", "counter", r#"{"name":"jobs","labels":{"a":"1","b":"2"},"by":2}"#).unwrap();
        ask(&*one, "b", "counter", r#"{"name":"jobs","labels":null,"by":null}"#).unwrap();
        ask(&*one, "b", "gauge", r#"{"name":"depth","set":7}"#).unwrap();
        ask(&*one, "b", "gauge", r#"{"name":"depth","add":-2.5}"#).unwrap();
        ask(&*one, "b", "histogram", r#"{"name":"time_seconds","value":0.02}"#).unwrap();
        ask(&*other, "b", "histogram", r#"{"name":"time_seconds","value":100}"#).unwrap();
        assert_eq!(
            page(&metrics),
            [
                "guest_depth b [] 4.5",
                "guest_jobs a [] 2.5",
                r#"guest_jobs a [("a", "1"), ("b", "2")] 3"#,
                "guest_jobs b [] 1",
                "guest_time_seconds b [] 100.02/2",
            ]
        );
        assert_eq!(
            metrics.families().iter().map(|it| it.kind).collect::<Vec<_>>(),
            [Kind::Gauge, Kind::Counter, Kind::Histogram]
        );
    }

    #[test]
    fn a_name_is_one_thing_for_all_modules_until_nobody_uses_it() {
        let (metrics, factory) = start(10);
        let binding = factory.make(0);
        ask(&*binding, "a", "counter", r#"{"name":"jobs"}"#).unwrap();
        let error = "conflict: metric `jobs` is a counter, of this or another module, and cannot be a gauge";
        for module in ["a", "b"] {
            assert_eq!(ask(&*binding, module, "gauge", r#"{"name":"jobs","set":1}"#).unwrap_err(), error);
        }
        metrics.forget("a");
        assert!(page(&metrics).is_empty());
        ask(&*binding, "b", "gauge", r#"{"name":"jobs","set":1}"#).unwrap();
        assert_eq!(page(&metrics), ["guest_jobs b [] 1"]);
    }

    #[test]
    fn a_module_makes_so_many_series_and_others_are_free_to_make_theirs() {
        let (metrics, factory) = start(2);
        let binding = factory.make(0);
        let series = |at: u32| format!("{{\"name\":\"jobs\",\"labels\":{{\"at\":\"{at}\"}}}}");
        for at in [1, 2, 1, 2] {
            ask(&*binding, "a", "counter", &series(at)).unwrap();
        }
        let error = ask(&*binding, "a", "counter", &series(3)).unwrap_err();
        assert_eq!(error, "too_large: module `a` has 2 series, and may have no more (`max_series`)");
        ask(&*binding, "b", "counter", &series(3)).unwrap();
        ask(&*binding, "a", "counter", &series(2)).unwrap();
        assert_eq!(page(&metrics).len(), 3);
    }

    #[test]
    fn a_binding_that_is_started_anew_goes_on_counting() {
        let (metrics, factory) = start(2);
        ask(&*factory.make(0), "a", "counter", r#"{"name":"jobs"}"#).unwrap();
        let again = MetricsFactory::new("metrics".into(), &MetricsSettings { max_series: 1 }, Arc::clone(&metrics));
        ask(&*again.make(0), "a", "counter", r#"{"name":"jobs"}"#).unwrap();
        assert_eq!(page(&metrics), ["guest_jobs a [] 2"]);
    }

    #[test]
    fn buckets_are_those_of_the_first_use_in_the_module() {
        let (metrics, factory) = start(9);
        let binding = factory.make(0);
        let observe = |module: &str, rest: &str| {
            ask(&*binding, module, "histogram", &format!("{{\"name\":\"size\",\"value\":3{rest}}}"))
        };
        observe("a", ",\"buckets\":[1,5]").unwrap();
        observe("a", "").unwrap();
        observe("a", ",\"buckets\":[1,5.0],\"labels\":{\"of\":\"b\"}").unwrap();
        observe("a", ",\"labels\":{\"of\":\"c\"}").unwrap();
        for labels in ["", ",\"labels\":{\"of\":\"d\"}"] {
            let error = observe("a", &format!(",\"buckets\":[1,6]{labels}")).unwrap_err();
            assert_eq!(error, "conflict: histogram `size` has other `buckets` since its first use");
        }
        observe("b", ",\"buckets\":[1,6]").unwrap();
        for series in &metrics.families().first().unwrap().series {
            let Reading::Histogram { buckets, .. } = series.reading() else { unreachable!() };
            let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
            assert_eq!(bounds, [1.0, if series.module() == "b" { 6.0 } else { 5.0 }, f64::INFINITY]);
        }
    }

    #[test]
    fn what_it_does_not_have_is_refused_with_what_it_has() {
        let (_, factory) = start(1);
        let error = ask(&*factory.make(0), "a", "summary", "{}").unwrap_err();
        assert_eq!(error, "no_such_operation: binding `metrics` has no operation `summary`: counter, gauge, histogram");
    }
}
