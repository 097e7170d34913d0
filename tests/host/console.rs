//! Section 6: what guests log.

use std::sync::Arc;

use wapcd::host::{Limits, MAX_LINE};

use crate::{
    guest::number,
    hosts::{Host, Kind, Setup, both},
    lines::{Lines, log_of},
};

fn logging(kind: Kind) -> (Host, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let mut setup = Setup::default().limits(Limits { payload: 1 << 20, ..Limits::default() });
    setup.options.console = lines.clone();
    (setup.menu(kind), lines)
}

// protocol: console.lossy
#[test]
fn a_line_is_read_as_lossy_utf8() {
    both(|kind| {
        let (mut host, lines) = logging(kind);
        host.call("log", &b"na\xc3\xafve \xff\xfe\0end"[..]).unwrap();
        host.call("log", "").unwrap();
        assert_eq!(lines.texts(), ["naïve \u{fffd}\u{fffd}\0end", ""]);
    });
}

// protocol: console.cut
#[test]
fn a_line_is_cut_at_64_kib() {
    both(|kind| {
        let (mut host, lines) = logging(kind);
        host.call("log", vec![b'a'; MAX_LINE]).unwrap();
        host.call("log", vec![b'a'; MAX_LINE + 1]).unwrap();
        host.call("log", "€".repeat(50_000)).unwrap();
        let lengths: Vec<_> = lines.texts().iter().map(String::len).collect();
        assert_eq!((lengths[0], lengths[1], MAX_LINE), (65_536, 65_536, 65_536));
        assert!(lengths[2] <= MAX_LINE && lengths[2] > MAX_LINE - 8, "{lengths:?}");
    });
}

// protocol: console.info
#[test]
fn without_a_console_of_its_own_a_host_logs_at_info() {
    both(|kind| {
        let mut host = Setup::default().menu(kind);
        let log = log_of(|| drop(host.call("log", "hello from the guest").unwrap()));
        assert!(log.contains("INFO") && log.contains("hello from the guest"), "{log}");
        assert_eq!(log.lines().count(), 1);
    });
}

// protocol: console.flood
#[test]
fn a_guest_that_floods_is_limited_and_the_dropped_lines_are_counted() {
    both(|kind| {
        let (mut host, lines) = logging(kind);
        host.call("flood", number(20_000)).unwrap();
        let passed = lines.take().len() as u64;
        assert!((1_000..5_000).contains(&passed), "{passed} lines passed");
        // When the guest is quiet again, what was dropped since is told with the next line.
        crate::deadline::rest(50);
        host.call("log", "quiet again").unwrap();
        assert_eq!(lines.texts().last().map(String::as_str), Some("quiet again"));
        let dropped: u64 = lines.dropped().iter().sum();
        assert_eq!(passed + dropped, 20_000);
    });
}
