//! The connections of one binding: a client, with a pool of its own, for each set of addresses that links list.
//!
//! A pool knows connections by the name of their host. A connection to a loopback address that one link lists must not
//! serve another link that does not, so links share a client only where they list the same.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use reqwest::{Client, redirect::Policy};
use rustls::ClientConfig;

use super::resolver::{LOOK_UPS, Resolver};
use crate::{
    bindings::turns::BlockingTurns,
    config::{AddressRange, HttpClientSettings},
};

/// Sets of addresses with connections of their own. Beyond it the one that was used longest ago is forgotten with its idle
/// connections: links with other sets come with a reload at most.
const MAX_CLIENTS: usize = 64;

/// Headers of an answer over HTTP/1: browsers take more, servers that mean well send some twenty.
const MAX_HEADERS: usize = 100;

/// Bytes of the head of an answer: four times what common servers send at most.
pub(super) const MAX_HEAD: u32 = 64 * 1024;

/// How long an idle connection is kept: shorter than the minute and more after which most servers close theirs.
const IDLE: Duration = Duration::from_secs(50);

/// After how long a silent connection is asked for a sign of life, and between two such questions: a host that vanished is
/// noticed within a minute and a half, and firewalls do not forget the connection meanwhile.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long a sign of life over HTTP/2 may take, which answers for all requests of its connection.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The clients of a binding.
pub(super) struct Clients {
    tls: ClientConfig,
    settings: HttpClientSettings,
    look_ups: BlockingTurns,
    /// Those used last come first.
    clients: Mutex<VecDeque<(Arc<[AddressRange]>, Client)>>,
}

impl Clients {
    pub(super) fn new(tls: ClientConfig, settings: &HttpClientSettings) -> Self {
        let look_ups = BlockingTurns::new(LOOK_UPS);
        Self { tls, settings: settings.clone(), look_ups, clients: Mutex::default() }
    }

    /// The client of links that list these addresses; must be called where connections live.
    pub(super) fn client(&self, addresses: &[AddressRange]) -> reqwest::Result<Client> {
        let mut clients = self.clients.lock();
        let found = clients.iter().position(|(listed, _)| **listed == *addresses);
        let entry = match found.and_then(|place| clients.remove(place)) {
            Some(entry) => entry,
            None => {
                let addresses: Arc<[AddressRange]> = addresses.into();
                (Arc::clone(&addresses), self.make(addresses)?)
            }
        };
        let client = entry.1.clone();
        clients.push_front(entry);
        clients.truncate(MAX_CLIENTS);
        Ok(client)
    }

    /// Closes idle connections; those in use end with their requests.
    pub(super) fn forget(&self) {
        self.clients.lock().clear();
    }

    fn make(&self, addresses: Arc<[AddressRange]>) -> reqwest::Result<Client> {
        let resolver = Resolver { addresses, look_ups: self.look_ups.clone() };
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(resolver)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(&self.settings.user_agent)
            .connect_timeout(self.settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(usize::try_from(self.settings.idle_connections).unwrap_or(usize::MAX))
            .tcp_keepalive(KEEP_ALIVE)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEAD)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .build()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;
    use crate::bindings::tls;

    #[test]
    fn links_share_connections_only_where_they_list_the_same_addresses() {
        let settings = HttpClientSettings::default();
        let clients = Clients::new(tls::client(&"web".into(), &settings.tls).unwrap(), &settings);
        let of = |number: usize| {
            let listed: AddressRange = format!("10.0.0.{number}").parse().unwrap();
            clients.client(&[listed]).unwrap();
            let listed: Vec<_> = clients.clients.lock().iter().map(|(listed, _)| listed[0].to_string()).collect();
            listed
        };
        of(1);
        of(2);
        assert_eq!(of(1), ["10.0.0.1/32", "10.0.0.2/32"]);
        for number in 3..=MAX_CLIENTS + 1 {
            of(number);
        }
        assert_eq!(clients.clients.lock().len(), MAX_CLIENTS);
        assert!(!of(1).contains(&"10.0.0.2/32".to_owned()));
        clients.forget();
        assert!(clients.clients.lock().is_empty());
    }
}
