//! `[metrics]`: where metrics can be read besides the control socket.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::config::{
    error::ConfigErrorKind,
    model::Metrics,
    reader::{Node, Section},
};

/// An address to show: the port that monitoring servers know for such metrics.
const EXAMPLE: &str = "127.0.0.1:9464";

/// Reads it.
pub(in crate::config) fn read(section: Option<Section<'_>>) -> Metrics {
    let Some(section) = section else {
        return Metrics::default();
    };
    let metrics = Metrics { listen: section.get("listen").and_then(|node| address(&node)) };
    section.finish();
    metrics
}

/// An address and a port. Names are not looked up: what listens where must not depend on what a name server says.
fn address(node: &Node<'_>) -> Option<SocketAddr> {
    let expected = format!("an IP address and a port, such as \"{EXAMPLE}\" or \"[::1]:9464\"");
    let text = node.text(&expected)?;
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => node.bad(ConfigErrorKind::BadValue, expected, hint(text)),
    }
}

/// What seems to be meant.
fn hint(text: &str) -> Option<String> {
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    let port = text.strip_prefix(':').unwrap_or(text);
    if is_port(port) {
        return Some(format!("on this machine only: \"127.0.0.1:{port}\"; on all of its addresses: \"[::]:{port}\""));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => return Some(format!("a port is missing: \"{address}:9464\"")),
        Ok(IpAddr::V6(address)) => return Some(in_brackets(address, text)),
        Err(_) => {}
    }
    let (host, port) = text.rsplit_once(':')?;
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !is_port(port) {
        return Some("a port is a number from 0 to 65535".to_owned());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if is_port(port) && host.contains(|c: char| c.is_ascii_alphabetic()) && host.chars().all(is_name) {
        return Some(format!("names are not looked up: write the address of `{host}`"));
    }
    None
}

/// An IPv6 address may have been meant with a port at its end.
fn in_brackets(address: Ipv6Addr, text: &str) -> String {
    let alone = format!("\"[{address}]:9464\"");
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host.parse::<Ipv6Addr>().ok()?, port)));
    let port = split.filter(|(_, port)| port.parse::<u16>().is_ok());
    let meant = port.map_or(alone, |(host, port)| format!("\"[{host}]:{port}\""));
    format!("an IPv6 address stands in brackets, the port behind them: {meant}")
}
