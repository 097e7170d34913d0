//! What eight callers notice of swaps.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::{
    SMALL,
    daemon::{Daemon, Home, pause},
    guests::{guest, version},
    harness::{Failure, Report, quantile},
    millis, module,
};

/// Callers, each with a connection of its own to the control socket.
const CALLERS: usize = 8;

/// Between two calls of a caller. Without a pause they only wait for each other, and for a core.
const PACES: [(&str, Duration); 2] =
    [("a call a millisecond each", Duration::from_millis(1)), ("as fast as they can", Duration::ZERO)];

/// Quiet turns and those with swaps alternate, so many of each.
const TURNS: u32 = 7;

/// How long a turn is.
const TURN: Duration = Duration::from_secs(1);

/// From the end of a swap to the next.
const BETWEEN: Duration = Duration::from_millis(10);

/// What goes on beside the calls of a turn.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Nothing,
    /// Swaps to code that is in the cache.
    Known,
    /// Swaps to code that has to be compiled.
    New,
}

/// When a call began and ended.
type Span = (Instant, Instant);

/// The code of the module's file.
struct Code {
    guest: Vec<u8>,
    /// Versions so far; the first two are in the cache from the beginning.
    versions: u32,
    /// Which of the first two comes next.
    second: bool,
    /// Swaps so far.
    swaps: u32,
}

impl Code {
    /// Code that does not run now.
    fn next(&mut self, beside: Beside) -> Vec<u8> {
        self.swaps += 1;
        let number = if beside == Beside::New {
            self.versions += 1;
            self.versions - 1
        } else {
            self.second = !self.second;
            u32::from(!self.second)
        };
        version(&self.guest, number)
    }
}

pub(crate) fn measure(report: &Report) -> Result<(), Failure> {
    let home = Home::new("", &module("subject"))?;
    // The second version runs when the load begins.
    let mut code = Code { guest: guest(SMALL, 1)?, versions: 2, second: false, swaps: 0 };
    for number in 0..code.versions {
        home.place("subject.wasm", &version(&code.guest, number))?;
        // Each is in the cache from its first run on.
        home.start()?.stop()?;
    }
    let daemon = home.start()?;
    for (pace, pause) in PACES {
        let (mut quiet, mut known, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            for (beside, times) in [(Beside::Nothing, &mut quiet), (Beside::Known, &mut known), (Beside::New, &mut new)]
            {
                times.extend(turn(&home, &daemon, beside, &mut code, pause)?);
            }
        }
        tell(report, &format!("{pace}: no swap"), quiet);
        tell(report, &format!("{pace}: during swaps, code in the cache"), known);
        tell(report, &format!("{pace}: during swaps, code compiled"), new);
        report.note("  swaps so far", f64::from(code.swaps), "");
    }
    daemon.stop()
}

/// Times of the calls that overlap with a swap, in milliseconds; of all calls where there is none.
fn turn(home: &Home, daemon: &Daemon, beside: Beside, code: &mut Code, pause: Duration) -> Result<Vec<f64>, Failure> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| calls(daemon, &over, pause))).collect();
        let swaps = match beside {
            Beside::Nothing => rest(),
            _ => swaps(home, daemon, beside, code),
        };
        over.store(true, Relaxed);
        let mut spans = Vec::new();
        for caller in callers {
            spans.extend(caller.join().map_err(|_panic| "a caller panicked")??);
        }
        let swaps = swaps?;
        let in_swap = |(began, ended): &Span| swaps.iter().any(|swap| *ended >= swap.0 && *began <= swap.1);
        spans.retain(|span| beside == Beside::Nothing || in_swap(span));
        Ok(spans.into_iter().map(|(began, ended)| millis(ended - began)).collect())
    })
}

fn rest() -> Result<Vec<Span>, Failure> {
    pause(TURN);
    Ok(Vec::new())
}

/// Calls until it is over. Each must succeed.
fn calls(daemon: &Daemon, over: &AtomicBool, between: Duration) -> Result<Vec<Span>, Failure> {
    let (mut connection, mut spans) = (daemon.connect()?, Vec::new());
    while !over.load(Relaxed) {
        let began = Instant::now();
        connection.echo("subject")?;
        spans.push((began, Instant::now()));
        if !between.is_zero() {
            pause(between);
        }
    }
    Ok(spans)
}

/// Swaps by rename for one turn: from the rename to the end of each.
fn swaps(home: &Home, daemon: &Daemon, beside: Beside, code: &mut Code) -> Result<Vec<Span>, Failure> {
    let mut events = daemon.follow(daemon.last_event()?)?;
    let (started, mut swaps) = (Instant::now(), Vec::new());
    while started.elapsed() < TURN {
        let bytes = code.next(beside);
        let began = Instant::now();
        home.place("subject.wasm", &bytes)?;
        events.swapped()?;
        swaps.push((began, Instant::now()));
        pause(BETWEEN);
    }
    Ok(swaps)
}

fn tell(report: &Report, what: &str, times: Vec<f64>) {
    report.note(what, times.len() as f64, "calls");
    for (name, share) in [("median", 0.5), ("99.9th percentile", 0.999), ("longest", 1.0)] {
        report.fine(&format!("  {name}"), quantile(times.clone(), share), "ms");
    }
}
