//! What a benchmark prints, and whether it fails.

use std::process::ExitCode;

use super::{Laps, Ratio};

/// Collects the claims of one benchmark.
pub struct Report {
    check: bool,
    missed: usize,
}

impl Report {
    /// Begins a report. With `--check` among the arguments a missed goal fails the run; without it, as on a machine
    /// that others use, it is only printed.
    pub fn new(title: &str) -> Self {
        println!("{title}");
        Self { check: std::env::args().any(|argument| argument == "--check"), missed: 0 }
    }

    /// Prints one race: the first contender makes the claim, the second is its peer, the others are for comparison.
    pub fn claim(&mut self, measure: &str, goal: f64, laps: &[Laps]) {
        let [own, peer, others @ ..] = laps else { return };
        let ratio = own.ratio_to(peer);
        let verdict = self.verdict(ratio.median <= goal);
        println!(
            "  {measure:<18} {} {:>9} / {} {:>9} = {:.2} ({:.2} to {:.2}), goal {goal:.2}: {verdict}",
            own.name,
            nanos(own.median()),
            peer.name,
            nanos(peer.median()),
            ratio.median,
            ratio.low,
            ratio.high,
        );
        for other in others {
            let ratio = other.ratio_to(peer).median;
            println!("  {:<18}   {} {:>9} = {ratio:.2}", "", other.name, nanos(other.median()));
        }
    }

    /// Prints one race in which nothing is claimed, as times of the second contender's.
    pub fn compare(&self, measure: &str, laps: &[Laps]) {
        let [_, peer, ..] = laps else { return };
        for (n, lap) in laps.iter().enumerate() {
            let ratio = lap.ratio_to(peer).median;
            println!(
                "  {:<18} {} {:>9} = {ratio:.2}",
                if n == 0 { measure } else { "" },
                lap.name,
                nanos(lap.median())
            );
        }
    }

    /// Prints how long a call of each contender takes, how many a second that makes, and how many times as long it takes as
    /// one of the second contender.
    pub fn times(&self, measure: &str, laps: &[Laps]) {
        println!("  {measure}");
        let [_, peer, ..] = laps else { return };
        for (place, lap) in laps.iter().enumerate() {
            self.line(lap);
            let Ratio { median, low, high } = lap.ratio_to(peer);
            match place {
                1 => println!(),
                _ => println!("   {median:.2} ({low:.2} to {high:.2}) times as long"),
            }
        }
    }

    /// The same for throughput: the first contender has a share of what each of the others does in the same time, and of
    /// the second it must be at least this.
    pub fn shares(&mut self, measure: &str, least: f64, laps: &[Laps]) {
        println!("  {measure}");
        for (place, lap) in laps.iter().enumerate() {
            self.line(lap);
            match laps.first() {
                Some(own) if place > 0 => {
                    // The time of the one by that of the other is the throughput of the other by that of the one.
                    let Ratio { median, low, high } = lap.ratio_to(own);
                    print!("   share {median:.2} ({low:.2} to {high:.2})");
                    match place {
                        1 => println!(", goal at least {least:.2}: {}", self.verdict(median >= least)),
                        _ => println!(),
                    }
                }
                _ => println!(),
            }
        }
    }

    fn line(&self, lap: &Laps) {
        print!("    {:<34} {:>9} {:>11.0} /s", lap.name, nanos(lap.median()), 1e9 / lap.median());
    }

    /// Prints a figure that has a bound of its own and no peer.
    pub fn bound(&mut self, measure: &str, seen: f64, most: f64, unit: &str) {
        let verdict = self.verdict(seen <= most);
        println!("  {measure:<44} {seen:>9.1} {unit}, goal {most:.1} {unit}: {verdict}");
    }

    /// Prints a figure that must not be below a bound of its own.
    pub fn at_least(&mut self, measure: &str, seen: f64, least: f64, unit: &str) {
        let verdict = self.verdict(seen >= least);
        println!("  {measure:<44} {seen:>9.2} {unit}, goal at least {least:.2} {unit}: {verdict}");
    }

    /// Prints a figure nobody promised.
    pub fn note(&self, measure: &str, seen: f64, unit: &str) {
        println!("  {measure:<44} {seen:>9.1} {unit}");
    }

    /// The same with microseconds of its milliseconds.
    pub fn fine(&self, measure: &str, seen: f64, unit: &str) {
        println!("  {measure:<44} {seen:>9.3} {unit}");
    }

    /// Ends the run.
    pub fn finish(self) -> ExitCode {
        match (self.missed, self.check) {
            (0, _) => ExitCode::SUCCESS,
            (missed, true) => {
                println!("{missed} goals missed");
                ExitCode::FAILURE
            }
            (missed, false) => {
                println!("{missed} goals missed (not fatal without --check)");
                ExitCode::SUCCESS
            }
        }
    }

    fn verdict(&mut self, met: bool) -> &'static str {
        if met {
            "met"
        } else {
            self.missed += 1;
            "MISSED"
        }
    }
}

/// Writes nanoseconds as people read them.
fn nanos(value: f64) -> String {
    match value {
        v if v < 10_000.0 => format!("{v:.0} ns"),
        v if v < 10_000_000.0 => format!("{:.1} us", v / 1e3),
        v => format!("{:.1} ms", v / 1e6),
    }
}
