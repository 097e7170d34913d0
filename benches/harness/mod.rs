//! Measures contenders beside one another, and prints the ratios that are claimed.
//!
//! A machine that others use too makes single measurements worthless and ratios of two separate runs a lottery. So the
//! contenders take turns: a round gives each of them one short batch of calls, and the order turns from round to round.
//! What is claimed is the ratio of the medians over all rounds; what is printed beside it is the middle half of the
//! ratios within the rounds. Times are those of the thread on its core: they leave out a neighbour's turns there, though
//! not what he does to caches and to the other half of a core. No contender waits for anything, so nothing is hidden; those
//! that do wait are timed by the clock on the wall, in fewer and longer batches.

#![allow(dead_code, reason = "every benchmark compiles this module for itself and none needs all of it")]
#![allow(unreachable_pub, reason = "every benchmark compiles this module for itself, as a crate without users")]
#![allow(clippy::print_stdout, reason = "printing is what a benchmark is for")]

mod report;

pub use report::Report;

use std::{
    error::Error,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// Any failure ends a benchmark.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How contenders take turns.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Rounds of a race: an odd number, so that the median is one that was seen.
    rounds: usize,
    /// What one batch should take at least.
    batch: Duration,
}

/// For what never waits and is timed by the thread's clock: a batch is long beside the half microsecond of reading that clock,
/// and short beside the seconds in which the load of the machine changes. Four contenders take a second; half as many
/// rounds let a neighbour's compiler move a median by a tenth.
pub const BUSY: Pace = Pace { rounds: 121, batch: Duration::from_millis(2) };

/// For what waits for other threads, disks and servers, and is timed by the time that passes: a batch is long beside the slices
/// that the system gives to neighbours, and beside its own beginning and end, when not everything is in flight.
pub const WAITING: Pace = Pace { rounds: 15, batch: Duration::from_millis(200) };

/// Time that this thread has spent on a core.
pub struct Stopwatch(Duration);

impl Stopwatch {
    /// Begins to measure.
    pub fn start() -> Self {
        Self(on_core())
    }

    /// Time on a core since the start, on the same thread.
    pub fn elapsed(&self) -> Duration {
        on_core().saturating_sub(self.0)
    }
}

fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Something that can be done any number of times.
pub struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut(u32) -> Result<Duration, Failure> + 'a>,
}

impl<'a> Contender<'a> {
    /// Makes a contender out of one call.
    pub fn new(name: &'static str, mut call: impl FnMut() -> Result<(), Failure> + 'a) -> Self {
        Self::timed(name, move |calls| {
            let started = Stopwatch::start();
            for _ in 0..calls {
                call()?;
            }
            Ok(started.elapsed())
        })
    }

    /// Makes a contender out of one call that waits, which is timed by the time that passes.
    pub fn waiting(name: &'static str, mut call: impl FnMut() -> Result<(), Failure> + 'a) -> Self {
        Self::timed(name, move |calls| {
            let started = Instant::now();
            for _ in 0..calls {
                call()?;
            }
            Ok(started.elapsed())
        })
    }

    /// Makes a contender that runs so many calls and takes the time itself.
    pub fn timed(name: &'static str, run: impl FnMut(u32) -> Result<Duration, Failure> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// How many calls fill a batch; warms up on the way.
    fn calibrate(&mut self, batch: Duration) -> Result<u32, Failure> {
        let mut calls = 1;
        while (self.run)(calls)? < batch && calls < 1 << 24 {
            calls *= 2;
        }
        Ok(calls)
    }
}

/// What a contender took: nanoseconds a call, one entry a round.
pub struct Laps {
    /// Name of the contender.
    pub name: &'static str,
    rounds: Vec<f64>,
}

/// One contender's time divided by another's.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// Ratio of the medians.
    pub median: f64,
    /// A quarter of the rounds had a lower ratio.
    pub low: f64,
    /// A quarter of the rounds had a higher ratio.
    pub high: f64,
}

/// Lets the contenders take turns.
///
/// # Errors
/// The first error of a contender.
pub fn race(contenders: Vec<Contender<'_>>) -> Result<Vec<Laps>, Failure> {
    race_at(BUSY, contenders)
}

/// Lets the contenders take turns at another pace.
///
/// # Errors
/// The first error of a contender.
pub fn race_at(pace: Pace, mut contenders: Vec<Contender<'_>>) -> Result<Vec<Laps>, Failure> {
    let calls = contenders.iter_mut().map(|c| c.calibrate(pace.batch)).collect::<Result<Vec<_>, _>>()?;
    let mut laps: Vec<Laps> = contenders.iter().map(|c| Laps { name: c.name, rounds: Vec::new() }).collect();
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    for _ in 0..pace.rounds {
        for &turn in &order {
            let (Some(contender), Some(&calls), Some(laps)) =
                (contenders.get_mut(turn), calls.get(turn), laps.get_mut(turn))
            else {
                continue;
            };
            let took = (contender.run)(calls)?;
            laps.rounds.push(took.as_secs_f64() * 1e9 / f64::from(calls));
        }
        order.rotate_left(1);
    }
    Ok(laps)
}

impl Laps {
    /// Median of the rounds, in nanoseconds a call.
    pub fn median(&self) -> f64 {
        quantile(self.rounds.clone(), 0.5)
    }

    /// This contender's time divided by `other`'s.
    pub fn ratio_to(&self, other: &Self) -> Ratio {
        let within: Vec<f64> = self.rounds.iter().zip(&other.rounds).map(|(own, other)| own / other).collect();
        Ratio {
            median: self.median() / other.median(),
            low: quantile(within.clone(), 0.25),
            high: quantile(within, 0.75),
        }
    }
}

/// The value below which this share of the values lies.
pub fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    // Rounding to the nearest entry is all that so few need.
    let index = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(index).copied().unwrap_or(f64::NAN)
}
