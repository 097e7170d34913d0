//! How many requests one host has at once.
//!
//! A host that hangs holds what asks it until its time is over. So that it does not hold everything that the binding may do
//! at once, a host has so many requests, as many more wait, and the others are refused without a wait.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::host::{HostCallError, HostErrorKind};

/// The hosts that have requests at the moment.
pub(super) struct Hosts {
    most: usize,
    hosts: Mutex<HashMap<String, Host>>,
}

struct Host {
    places: Arc<Semaphore>,
    /// Requests that have a place or wait for one.
    requests: usize,
}

/// One request to a host, counted until it is dropped.
pub(super) struct Visit<'h> {
    hosts: &'h Hosts,
    host: &'h str,
    places: Arc<Semaphore>,
    place: Option<OwnedSemaphorePermit>,
}

impl Hosts {
    pub(super) fn new(most: u32) -> Self {
        Self { most: usize::try_from(most).unwrap_or(usize::MAX), hosts: Mutex::default() }
    }

    /// Counts a request to that host, which then has to wait for its place.
    ///
    /// # Errors
    /// `unavailable` where too many wait.
    pub(super) fn visit<'h>(&'h self, host: &'h str) -> Result<Visit<'h>, HostCallError> {
        let mut hosts = self.hosts.lock();
        if !hosts.contains_key(host) {
            hosts.insert(host.to_owned(), Host { places: Arc::new(Semaphore::new(self.most)), requests: 0 });
        }
        match hosts.get_mut(host) {
            Some(entry) if entry.requests < self.most.saturating_mul(2) => {
                entry.requests += 1;
                Ok(Visit { hosts: self, host, places: Arc::clone(&entry.places), place: None })
            }
            _ => {
                let most = self.most;
                let why = format!(
                    "host `{host}` is busy: it has {most} requests (`connections_per_host`), and as many wait for it"
                );
                Err(HostCallError::new(HostErrorKind::Unavailable, why))
            }
        }
    }
}

impl Visit<'_> {
    /// Waits for a place, which is kept until the visit ends.
    pub(super) async fn place(&mut self) {
        // Nobody closes it.
        self.place = Arc::clone(&self.places).acquire_owned().await.ok();
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.place.take();
        let mut hosts = self.hosts.hosts.lock();
        if let Some(host) = hosts.get_mut(self.host) {
            host.requests -= 1;
            if host.requests == 0 {
                hosts.remove(self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_host_has_so_many_requests_and_as_many_wait_for_it() {
        let hosts = Hosts::new(2);
        let mut visits: Vec<_> = (0..4).map(|_| hosts.visit("a:80").unwrap()).collect();
        let placed: Vec<_> = visits.iter_mut().map(|visit| visit.place().now_or_never().is_some()).collect();
        assert_eq!(placed, [true, true, false, false]);
        let error = hosts.visit("a:80").err().unwrap().to_string();
        assert!(error.starts_with("unavailable: host `a:80` is busy: it has 2 requests"), "{error}");
        assert!(hosts.visit("b:80").unwrap().place().now_or_never().is_some());
        visits.remove(0);
        assert!(visits[1].place().now_or_never().is_some());
        assert!(hosts.visit("a:80").is_ok());
        visits.clear();
        assert!(hosts.hosts.lock().is_empty());
    }
}
