//! How many requests one host has at once.
//!
//! A host that hangs holds what asks it until its time is over. So that it does not hold everything that the binding may do
//! at once, a host has so many requests, as many more wait, and the others are refused without a wait. Of those that wait
//! each module has its turn: one that keeps a host busy takes it from no other.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    bindings::turnstile::{Entry, Permit, Turnstile},
    config::BindingLimits,
    host::{HostCallError, HostErrorKind},
};

/// The hosts that have requests at the moment.
pub(super) struct Hosts {
    most: u32,
    hosts: Mutex<HashMap<String, Host>>,
}

struct Host {
    places: Arc<Turnstile>,
    /// Requests that have a place or wait for one.
    requests: usize,
}

/// One request to a host, counted until it is dropped.
pub(super) struct Visit<'h> {
    hosts: &'h Hosts,
    host: &'h str,
    places: Arc<Turnstile>,
    place: Option<Permit>,
}

impl Hosts {
    pub(super) fn new(most: u32) -> Self {
        Self { most, hosts: Mutex::default() }
    }

    /// Counts a request to that host, which then has to wait for its place.
    pub(super) fn visit<'h>(&'h self, host: &'h str) -> Visit<'h> {
        let mut hosts = self.hosts.lock();
        let entry = hosts.entry(host.to_owned()).or_insert_with(|| {
            let limits = BindingLimits { concurrent: self.most, queue: self.most, ..BindingLimits::default() };
            Host { places: Turnstile::new(limits), requests: 0 }
        });
        entry.requests += 1;
        Visit { hosts: self, host, places: Arc::clone(&entry.places), place: None }
    }
}

impl Visit<'_> {
    /// Waits for a place, which is kept until the visit ends.
    ///
    /// # Errors
    /// `unavailable` where too many wait, and not more of another module.
    pub(super) async fn place(&mut self, module: &Arc<str>) -> Result<(), HostCallError> {
        let place = match self.places.enter(module) {
            Entry::Now(place) => Some(place),
            Entry::Wait(place) => place.await.ok(),
            Entry::Full => None,
        };
        if place.is_none() {
            let (host, most) = (self.host, self.hosts.most);
            let why = format!(
                "host `{host}` is busy: it has {most} requests (`connections_per_host`), and as many wait for it"
            );
            return Err(HostCallError::new(HostErrorKind::Unavailable, why));
        }
        self.place = place;
        Ok(())
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
    fn a_host_has_so_many_requests_and_as_many_wait_for_it_of_each_module_in_its_turn() {
        let hosts = Hosts::new(2);
        let (flood, other): (Arc<str>, Arc<str>) = ("flood".into(), "other".into());
        let mut first: Vec<_> = (0..2).map(|_| hosts.visit("a:80")).collect();
        assert!(first.iter_mut().all(|visit| visit.place(&flood).now_or_never().unwrap().is_ok()));
        let (mut one, mut two, mut three) = (hosts.visit("a:80"), hosts.visit("a:80"), hosts.visit("a:80"));
        let (mut one, mut two) = (Box::pin(one.place(&flood)), Box::pin(two.place(&flood)));
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
        let error = three.place(&flood).now_or_never().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("unavailable: host `a:80` is busy: it has 2 requests"), "{error}");
        // Another module's takes the place of the last one of the module that has more.
        let mut others = hosts.visit("a:80");
        let mut theirs = Box::pin(others.place(&other));
        assert!(theirs.as_mut().now_or_never().is_none());
        assert!(two.as_mut().now_or_never().unwrap().is_err());
        assert!(hosts.visit("b:80").place(&flood).now_or_never().unwrap().is_ok());
        first.clear();
        assert!(one.as_mut().now_or_never().unwrap().is_ok() && theirs.as_mut().now_or_never().unwrap().is_ok());
        drop((one, two, theirs));
        drop((three, others));
    }
}
