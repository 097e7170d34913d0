//! `GET /metrics`: what the status says, in the text format that Prometheus reads (OpenMetrics 1.0).
//!
//! Nothing is counted here. A scrape takes one [`Status`](crate::supervisor::status::Status), as `GET /v1/status` does, and
//! writes it down in another form, so that the two cannot disagree; after it stands what guests count.
//!
//! * `collector` has the metrics of the daemon's parts, with names, units and labels.
//! * `guests` has those that guests make by the `metrics` binding.
//! * `process` has those of the process, under the names that every Prometheus client gives them.
//! * `family` writes one family of metrics.
//! * `listener` serves the metrics over TCP, and nothing else.

mod collector;
mod family;
mod guests;
mod listener;
mod process;
mod triggers;

use std::{
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::{HttpResponse, web::Data};
use prometheus_client::{encoding::text, registry::Registry};

pub(super) use self::listener::Listener;
use self::{collector::Snapshot, guests::Guests, process::Process};
use super::{
    problem::{Kind, Problem},
    routes::{Api, bounded},
};

/// Media type of the metrics.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// When the daemon started. It is worked out once: from each uptime anew it would tremble, and look like restarts.
#[derive(Debug, Default)]
pub(super) struct Start(OnceLock<f64>);

impl Start {
    fn get(&self, uptime_s: f64) -> f64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        *self.0.get_or_init(|| now - uptime_s)
    }
}

/// Answers a scrape.
pub(super) async fn metrics(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let status = bounded("the status", api.settings.waits.answer, api.daemon.status()).await??;
    let started = api.start.get(status.uptime_s);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot { status, started, process: Process::read() }));
    registry.register_collector(Box::new(Guests(api.daemon.guest_metrics())));
    let mut page = String::new();
    text::encode(&mut page, &registry).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(HttpResponse::Ok().content_type(MEDIA_TYPE).body(page))
}
