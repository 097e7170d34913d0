//! Addresses as they come, and as hostile guests spell them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use reqwest::Method;
use url::Url;

use super::*;
use crate::{bindings::http_client::rules, config::HttpRules};

fn rules(addresses: &[&str]) -> HttpRules {
    HttpRules {
        hosts: vec!["*".parse().unwrap()],
        methods: None,
        addresses: addresses.iter().map(|range| range.parse().unwrap()).collect(),
    }
}

/// What is said of a URL with that host: an address in it is judged, a name is not.
fn judged(host: &str, rules: &HttpRules) -> Result<(), String> {
    let url = Url::parse(&format!("http://{host}/")).unwrap();
    rules::check(&url, &Method::GET, rules).map_err(|error| error.to_string())
}

/// Beside every special range, and well known.
const PUBLIC: &str = "
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8
    2606:4700::1111 2001:200::1 2001:4860:4860::8888 2a00:1450:4001:81b::200e 2003::1 3ffe:ffff::1
    2620:fe::fe
";

#[test]
fn public_addresses_are_connected_to() {
    for address in PUBLIC.split_whitespace() {
        assert_eq!(forbidden(address.parse().unwrap(), &[]), None, "{address}");
    }
}

const SPECIAL: &[(&str, &str)] = &[
    ("0.0.0.0", "unspecified"),
    ("0.255.255.255", "unspecified"),
    ("10.0.0.0", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared with the provider's other customers"),
    ("100.127.255.255", "shared with the provider's other customers"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.0", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "reserved for protocols"),
    ("192.0.2.1", "for documentation"),
    ("192.88.99.1", "a relay of 6to4"),
    ("192.168.0.1", "private"),
    ("198.18.0.1", "for benchmarks"),
    ("198.19.255.255", "for benchmarks"),
    ("198.51.100.1", "for documentation"),
    ("203.0.113.1", "for documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "compatible with an address of version 4"),
    ("::127.0.0.1", "compatible with an address of version 4"),
    ("::8.8.8.8", "compatible with an address of version 4"),
    ("::ffff:127.0.0.1", "loopback"),
    ("::ffff:10.0.0.1", "private"),
    ("::ffff:169.254.169.254", "link-local"),
    ("::ffff:0.0.0.0", "unspecified"),
    ("::ffff:0:127.0.0.1", "translated to an address of version 4"),
    ("64:ff9b::127.0.0.1", "translated to an address of version 4"),
    ("64:ff9b::8.8.8.8", "translated to an address of version 4"),
    ("64:ff9b:1::1", "translated to an address of version 4"),
    ("100::1", "reserved"),
    ("1::1", "reserved"),
    ("2001::1", "a tunnel of Teredo"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "a tunnel of Teredo"),
    ("2001:2::1", "reserved for protocols"),
    ("2001:10::1", "reserved for protocols"),
    ("2001:1ff::1", "reserved for protocols"),
    ("2001:db8::1", "for documentation"),
    ("3fff::1", "for documentation"),
    ("2002:7f00:1::", "a tunnel of 6to4"),
    ("2002:a9fe:a9fe::1", "a tunnel of 6to4"),
    ("2606:4700::5efe:127.0.0.1", "a tunnel of ISATAP"),
    ("2606:4700::200:5efe:10.0.0.1", "a tunnel of ISATAP"),
    ("4000::1", "reserved"),
    ("5f00::1", "reserved"),
    ("fbff::1", "reserved"),
    ("fc00::1", "unique-local"),
    ("fd00:ec2::254", "unique-local"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
];

#[test]
fn special_addresses_are_not_unless_they_are_listed() {
    for (address, why) in SPECIAL {
        let parsed: IpAddr = address.parse().unwrap();
        assert_eq!(forbidden(parsed, &[]), Some(*why), "{address}");
        assert_eq!(
            forbidden(parsed, &[address.parse().unwrap_or_else(|_| "::/0".parse().unwrap())]),
            None,
            "{address}"
        );
        let host = if parsed.is_ipv6() { format!("[{address}]") } else { (*address).to_owned() };
        let error = judged(&host, &rules(&[])).unwrap_err();
        assert!(error.starts_with("not_allowed: the address of host `") && error.contains(why), "{error}");
    }
}

/// Loopback, private and link-local addresses.
const SPELLINGS: &str = "
    127.1 127.0.1 2130706433 0x7f000001 0x7F.1 0x7f.0.0.1 017700000001 0177.0.0.1 127.0.0.1.
    127.000.000.001 0x7f.0x0.0x0.0x1 0177.0.0.0x1 %31%32%37.0.0.1 127%2e0%2e0%2e1 127。0。0。1 １２７.0.0.1
    ①②⑦.⓪.⓪.① [::ffff:7f00:1] [::ffff:127.0.0.1] [0:0:0:0:0:ffff:7f00:0001] [::1] [0:0:0:0:0:0:0:1]
    [0000::0001] [::] 0 0x0 0.0.0.0 00 127.255.255.254 0300.0250.1.1 192.168.257 10.1 0xa9fea9fe
    2852039166 0251.0376.0251.0376 169.254.43518 [::ffff:a9fe:a9fe] [fe80::1] [fd00:ec2::254] 4294967295
    [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::1] user:pass@127.0.0.1 8.8.8.8@127.0.0.1
";

#[test]
fn other_spellings_of_an_address_are_the_same_address() {
    for host in SPELLINGS.split_whitespace() {
        let error = judged(host, &rules(&[])).unwrap_err();
        assert!(error.starts_with("not_allowed: "), "{host}: {error}");
    }
    for host in ["127.1", "0x7f.1", "2130706433", "127.0.0.1.", "[::ffff:7f00:1]"] {
        assert_eq!(judged(host, &rules(&["127.0.0.0/8"])), Ok(()), "{host}");
    }
    // What is no address by any spelling is a name, and a matter of the resolver; what is neither is no URL.
    for name in ["localhost", "127.0.0.1.nip.io", "0x7f", "x127.0.0.1", "a.127"] {
        if let Ok(url) = Url::parse(&format!("http://{name}/")) {
            let is_address = !matches!(url.host(), Some(url::Host::Domain(_)));
            assert_eq!(rules::check(&url, &Method::GET, &rules(&[])).is_err(), is_address, "{name}");
        }
    }
    for wrong in ["127.0.0.256", "0x7f.0.0.1.1", "1.2.3.4.5", "4294967296", "[::1%25eth0]", "[fe80::1%eth0]", "a.0x7f"]
    {
        assert!(Url::parse(&format!("http://{wrong}/")).is_err(), "{wrong}");
    }
}
