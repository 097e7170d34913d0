//! Links: which bindings a module may call, under which names, and what it may ask them for.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, sync::Arc};

use serde_json::Value;

/// Permission and route from one module to one binding.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The binding's name as the guest was compiled with.
    pub binding: String,
    /// The namespace as the guest was compiled with; `None`: any.
    pub namespace: Option<String>,
    /// Name of the binding in the configuration.
    pub to: Arc<str>,
    /// Which operations.
    pub operations: Operations,
    /// Whether the module starts only when the binding's backend is connected, however long that takes.
    pub required: bool,
    /// What the module may ask for, as the binding's type has it.
    pub rules: Rules,
}

/// Which operations of a binding a link includes.
#[derive(Debug, Clone, PartialEq)]
pub enum Operations {
    /// All of them, under their own names.
    All,
    /// These: the guest's name for each, and the binding's.
    Named(BTreeMap<String, String>),
}

impl Operations {
    /// The binding's name for the guest's operation, or `None` where the link does not include it.
    #[must_use]
    pub fn resolve<'a>(&'a self, operation: &'a str) -> Option<&'a str> {
        match self {
            Self::All => Some(operation),
            Self::Named(names) => names.get(operation).map(String::as_str),
        }
    }
}

/// What a link allows besides its operations. The variant is that of the binding's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Rules {
    /// Nothing to say: `log`, `module`, `metrics`, `system`, `process`.
    None,
    /// `keyvalue` and `blob`: whose keys.
    Space(Space),
    /// `sql`.
    Sql(SqlRules),
    /// `messaging`: what may be published to and asked on; empty: every topic.
    Topics(Vec<Topic>),
    /// `http_client`.
    Http(HttpRules),
    /// `secret`: the names that may be read.
    Secrets(Vec<String>),
    /// `config`: the module's own `[modules.NAME.config]`, an object.
    Config(Arc<Value>),
}

/// Whose keys a link to `keyvalue` or `blob` sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Space {
    /// The module's own.
    #[default]
    Own,
    /// One common space of all links that say `shared = true`.
    Shared,
    /// The space of this name, of all links that name it by `prefix`.
    Named(String),
}

/// What a link to `sql` allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlRules {
    /// Whether nothing may be changed.
    pub read_only: bool,
    /// The only tables that statements may name, their ASCII letters in lower case; `None`: all.
    pub tables: Option<Vec<String>>,
}

/// What a link to `http_client` allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRules {
    /// Hosts that may be asked; never empty.
    pub hosts: Vec<HostPattern>,
    /// Methods, in upper case; `None`: all.
    pub methods: Option<Vec<String>>,
    /// Private, loopback and other special addresses that may be reached all the same.
    pub addresses: Vec<AddressRange>,
}

/// Which host, and which port of it: `api.example.com`, `*.example.com`, `*`, each with or without `:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// Labels in lower case, without a wildcard; empty with a wildcard: any host.
    name: String,
    /// Whether any labels may stand before the name.
    wildcard: bool,
    /// `None`: any port.
    port: Option<u16>,
}

impl HostPattern {
    /// Whether it includes that host, as a URL has it (lower case, addresses of version 6 without brackets), and port.
    #[must_use]
    pub fn includes(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let named = if !self.wildcard {
            host == self.name
        } else if self.name.is_empty() {
            true
        } else {
            host.strip_suffix(&self.name).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
        };
        named && self.port.is_none_or(|only| only == port)
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse().map_err(|_not_one| format!("{port:?} is no port"))?;
                (host, Some(port))
            }
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let host = host.to_ascii_lowercase();
        if host == "*" {
            return Ok(Self { name: String::new(), wildcard: true, port });
        }
        let (name, wildcard) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (&*host, false),
        };
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        // However an address is written, URLs have one way of writing it.
        let address = name.parse::<IpAddr>().ok().filter(|_| !wildcard);
        if !is_name(name) && address.is_none() {
            return Err("a wildcard stands only in front, and names have letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(Self { name: address.map_or_else(|| name.to_owned(), |address| address.to_string()), wildcard, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.wildcard, self.name.as_str()) {
            (true, "") => f.write_str("*")?,
            (true, name) => write!(f, "*.{name}")?,
            (false, name) if name.contains(':') => write!(f, "[{name}]")?,
            (false, name) => f.write_str(name)?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Addresses that begin with the same bits: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    start: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Whether the address is in it; one of version 4 that is written as version 6 is the one of version 4.
    #[must_use]
    pub fn includes(&self, address: IpAddr) -> bool {
        match (self.start, address.to_canonical()) {
            (IpAddr::V4(start), IpAddr::V4(address)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(start).checked_shr(shift) == u32::from(address).checked_shr(shift)
            }
            (IpAddr::V6(start), IpAddr::V6(address)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(start).checked_shr(shift) == u128::from(address).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, bits) = text.split_once('/').map_or((text, None), |(start, bits)| (start, Some(bits)));
        let start: IpAddr = start.parse().map_err(|_not_one| format!("{start:?} is no address"))?;
        let most = if start.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most);
        let bits: u8 = bits.ok_or_else(|| format!("after the `/` stands a number of bits up to {most}"))?;
        match (start.to_canonical(), bits.checked_sub(96)) {
            // Written as version 6, but of version 4, as the addresses that are looked for in it are taken.
            (start @ IpAddr::V4(_), Some(bits)) if most == 128 => Ok(Self { start, bits }),
            _ => Ok(Self { start, bits }),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.bits)
    }
}

/// A topic, or a pattern of topics: `*` stands for one part between dots, `>` at the end for one or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic(String);

impl Topic {
    /// Whether it includes a topic, which has no wildcards.
    #[must_use]
    pub fn includes(&self, topic: &str) -> bool {
        let (mut pattern, mut parts) = (self.0.split('.'), topic.split('.'));
        loop {
            match (pattern.next(), parts.next()) {
                (Some(">"), Some(_)) | (None, None) => return true,
                (Some("*"), Some(_)) => {}
                (Some(expected), Some(part)) if expected == part => {}
                _ => return false,
            }
        }
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let last = text.split('.').count().saturating_sub(1);
        for (index, part) in text.split('.').enumerate() {
            if part.is_empty() {
                return Err("no part between its dots may be empty".to_owned());
            }
            if part.chars().any(|character| character.is_whitespace() || character.is_control()) {
                return Err("there are no spaces in topics".to_owned());
            }
            if (part.contains('*') && part != "*") || (part.contains('>') && (part != ">" || index != last)) {
                return Err("`*` stands for a whole part, `>` for all that follow, at the end".to_owned());
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_host_pattern_includes_its_hosts_and_its_port_only() {
        for (pattern, host, port, expected) in [
            ("api.example.com", "api.example.com", 443, true),
            ("API.Example.com", "api.example.com.", 80, true),
            ("api.example.com", "xapi.example.com", 443, false),
            ("*.example.com", "api.example.com", 443, true),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", ".example.com", 443, false),
            ("*.example.com", "evilexample.com", 443, false),
            ("*", "anything", 1, true),
            ("*:443", "anything", 80, false),
            ("localhost:8080", "localhost", 8080, true),
            ("localhost:8080", "localhost", 80, false),
            ("[::1]:8080", "::1", 8080, true),
            ("::1", "::1", 1, true),
            ("0:0:0:0::1", "::1", 1, true),
            ("example.com.", "example.com", 443, true),
        ] {
            assert_eq!(pattern.parse::<HostPattern>().unwrap().includes(host, port), expected, "{pattern} {host}");
        }
        for wrong in
            ["", "a b", "a*.com", "*.*.com", "*.", "*..", ".", "http://a.com", "a.com/x", "a.com:99999", "*.::1"]
        {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_range_includes_what_begins_with_its_bits() {
        for (range, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.1.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(range.parse::<AddressRange>().unwrap().includes(address), expected, "{range} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "localhost", "10.0.0.0/x"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_topic_pattern_includes_whole_parts() {
        for (pattern, topic, expected) in [
            ("orders.new", "orders.new", true),
            ("orders.*", "orders.new", true),
            ("orders.*", "orders.new.eu", false),
            ("orders.*", "orders", false),
            ("orders.>", "orders.new.eu", true),
            ("orders.>", "orders", false),
            (">", "a", true),
            ("*.new", "orders.new", true),
            ("orders", "orders2", false),
        ] {
            assert_eq!(pattern.parse::<Topic>().unwrap().includes(topic), expected, "{pattern} {topic}");
        }
        for wrong in ["", "a..b", ".a", "a b", "a*", ">.a", "a.>b"] {
            assert!(wrong.parse::<Topic>().is_err(), "{wrong}");
        }
    }
}
