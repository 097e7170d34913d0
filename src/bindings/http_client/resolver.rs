//! From names to addresses that may be connected to.
//!
//! What comes out of here is what the connection is made to, so nothing can change between the check and its use.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::runtime::Handle;

use super::{address, failure::Forbidden};
use crate::{bindings::turns::BlockingTurns, config::AddressRange, host::BoxError};

/// Names that one binding looks up at once. Each look-up takes as long as the system's resolver does, also when nobody waits
/// for it any more and when a server of names is down.
pub(super) const LOOK_UPS: usize = 64;

/// Looks names up with the system's resolver, and lets through what the links of one client may connect to.
pub(super) struct Resolver {
    pub(super) addresses: Arc<[AddressRange]>,
    pub(super) look_ups: BlockingTurns,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (addresses, look_ups) = (Arc::clone(&self.addresses), self.look_ups.clone());
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let look_up = move || look_up(&name).map(|found| (name, found));
            let (name, found) = look_ups.run(&Handle::current(), look_up).await??;
            Ok(Box::new(permitted(name, &found, &addresses)?.into_iter()) as Addrs)
        })
    }
}

/// Blocks for as long as the system's resolver takes.
fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Those that may be connected to.
fn permitted(host: String, found: &[IpAddr], listed: &[AddressRange]) -> Result<Vec<SocketAddr>, BoxError> {
    let mut refused = None;
    let mut permitted = Vec::new();
    for address in found {
        match address::forbidden(*address, listed) {
            // The port is that of the URL, which the client puts in the place of this.
            None => permitted.push(SocketAddr::new(*address, 0)),
            Some(why) => {
                tracing::debug!(host, %address, why, "an address is not connected to");
                refused.get_or_insert(why);
            }
        }
    }
    match refused {
        Some(why) if permitted.is_empty() => Err(Forbidden { host, why }.into()),
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn only_addresses_that_may_be_connected_to_come_out() {
        let found: Vec<IpAddr> = ["127.0.0.1", "8.8.8.8", "::1", "2606:4700::1111"].map(|a| a.parse().unwrap()).into();
        let shown = |listed: &[&str]| {
            let listed: Vec<_> = listed.iter().map(|range| range.parse().unwrap()).collect();
            let permitted = permitted("example.com".to_owned(), &found, &listed).unwrap();
            permitted.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&[]), "8.8.8.8 2606:4700::1111");
        assert_eq!(shown(&["127.0.0.0/8"]), "127.0.0.1 8.8.8.8 2606:4700::1111");
        let none = permitted("intra".to_owned(), &["10.0.0.1".parse().unwrap()], &[]).unwrap_err();
        assert_eq!(
            none.downcast_ref::<Forbidden>().unwrap().to_string(),
            "the address of host `intra` is private, and not among the `addresses` of the link"
        );
        assert!(permitted("nothing".to_owned(), &[], &[]).unwrap().is_empty());
    }
}
