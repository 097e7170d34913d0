//! Which addresses are public, and why the others are not.
//!
//! The tables are those of the registries of special-purpose addresses (RFC 6890 and its successors), and the forms in which
//! an address of version 6 carries one of version 4: whoever connects to them reaches the inner address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::AddressRange;

/// Why an address may not be connected to; `None` where it may, since it is public or listed.
pub(super) fn forbidden(address: IpAddr, listed: &[AddressRange]) -> Option<&'static str> {
    if listed.iter().any(|range| range.includes(address)) {
        return None;
    }
    special(address)
}

/// What is special about an address; `None` for one of the public internet.
fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "unspecified",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "private",
        [100, 64..=127, ..] => "shared with the provider's other customers",
        [127, ..] => "loopback",
        [169, 254, ..] => "link-local",
        [192, 0, 0, _] => "reserved for protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "for documentation",
        [192, 88, 99, _] => "a relay of 6to4",
        [198, 18..=19, ..] => "for benchmarks",
        [224..=239, ..] => "multicast",
        [255, 255, 255, 255] => "broadcast",
        [240..=255, ..] => "reserved",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => "unspecified",
        [0, 0, 0, 0, 0, 0, 0, 1] => "loopback",
        [0, 0, 0, 0, 0, 0, ..] => "compatible with an address of version 4",
        [0, 0, 0, 0, 0xffff, 0, ..] => "translated to an address of version 4",
        [0x64, 0xff9b, ..] => "translated to an address of version 4",
        [0x2001, 0, ..] => "a tunnel of Teredo",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "for documentation",
        [0x2001, 0..=0x1ff, ..] => "reserved for protocols",
        [0x2002, ..] => "a tunnel of 6to4",
        [0xfc00..=0xfdff, ..] => "unique-local",
        [0xfe80..=0xfebf, ..] => "link-local",
        [0xfec0..=0xfeff, ..] => "site-local",
        [0xff00..=0xffff, ..] => "multicast",
        // A router of ISATAP behind a public prefix: its last half carries an address of version 4.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => "a tunnel of ISATAP",
        [0x2000..=0x3fff, ..] => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests;
