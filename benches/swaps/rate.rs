//! How many times a second one module can be given other code that is in the cache.

use std::time::{Duration, Instant};

use crate::{
    SMALL,
    daemon::Home,
    guests::{guest, version},
    harness::{Failure, Report},
    module,
};

/// How long each way is tried.
const TIME: Duration = Duration::from_secs(3);

pub(crate) fn measure(report: &Report) -> Result<(), Failure> {
    let guest = guest(SMALL, 1)?;
    let codes = [version(&guest, 0), version(&guest, 1)];
    let home = Home::new("", &module("subject"))?;
    home.place("subject.wasm", &codes[0])?;
    let daemon = home.start()?;
    let mut events = daemon.follow(daemon.last_event()?)?;
    let rate = rate_of(&codes, |code| {
        home.place("subject.wasm", code)?;
        events.swapped()
    })?;
    report.note("swaps of a module by rename of its file", rate, "/s");
    let mut operator = daemon.connect()?;
    let rate = rate_of(&codes, |code| operator.ask("POST", "/v1/modules/subject/swap", code).map(drop))?;
    report.note("swaps of a module by an operator", rate, "/s");
    daemon.stop()
}

/// Swaps to the second, the first, the second, and so on, each after the one before has ended.
fn rate_of(codes: &[Vec<u8>; 2], mut swap: impl FnMut(&[u8]) -> Result<(), Failure>) -> Result<f64, Failure> {
    let [first, second] = codes;
    // Both are in the cache from here on, and the second runs.
    swap(second)?;
    let (began, mut swaps) = (Instant::now(), 0_u32);
    while began.elapsed() < TIME {
        swap(first)?;
        swap(second)?;
        swaps += 2;
    }
    Ok(f64::from(swaps) / began.elapsed().as_secs_f64())
}
