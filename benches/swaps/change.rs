//! From the rename of a module's file to the first answer of its new code.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{
    LARGE, SMALL,
    daemon::{Connection, Daemon, Home, pause},
    guests::{guest, version},
    harness::{Failure, Report, quantile},
    millis, module,
};

/// Changes of each kind, odd so that the median is one that was seen; large code takes seconds to compile.
const SMALL_CHANGES: u32 = 41;
const LARGE_CHANGES: u32 = 9;

/// Between two calls of the caller who waits for the new code, so that it leaves the cores to the compiler.
const PAUSE: Duration = Duration::from_micros(200);

/// Between two changes: what a load leaves to be written is not part of the next one.
const BETWEEN: Duration = Duration::from_millis(100);

/// Where the time of one change went, in milliseconds.
#[derive(Default)]
struct Split {
    noticed: Vec<f64>,
    read: Vec<f64>,
    compiled: Vec<f64>,
    taken: Vec<f64>,
    answered: Vec<f64>,
}

pub(crate) fn measure(report: &Report) -> Result<(), Failure> {
    for (name, size, changes) in [("100 KB", SMALL, SMALL_CHANGES), ("2 MB", LARGE, LARGE_CHANGES)] {
        let home = Home::new("", &module("subject"))?;
        let guest = guest(size, 1)?;
        home.place("subject.wasm", &version(&guest, 0))?;
        let daemon = home.start()?;
        let mut caller = daemon.connect()?;
        let (mut new, mut known) = (Split::default(), Split::default());
        for number in 1..=changes {
            new.change(&home, &daemon, &mut caller, &version(&guest, number))?;
            // The code before that one, which ran a moment ago and is in the cache.
            known.change(&home, &daemon, &mut caller, &version(&guest, number - 1))?;
        }
        new.tell(report, &format!("{name}, compiled"));
        known.tell(report, &format!("{name}, in the cache"));
        daemon.stop()?;
    }
    Ok(())
}

impl Split {
    /// Changes the file once, and calls until the new code answers.
    fn change(&mut self, home: &Home, daemon: &Daemon, caller: &mut Connection, code: &[u8]) -> Result<(), Failure> {
        pause(BETWEEN);
        let (before, last) = (caller.echo("subject")?, daemon.last_event()?);
        let renamed = home.place("subject.wasm", code)?;
        while caller.echo("subject")? == before {
            pause(PAUSE);
        }
        self.answered.push(millis(renamed.elapsed()?));
        let renamed = seconds(renamed)?;
        // The last event of a swap may come after the first answer.
        while !daemon.events(last)?.iter().any(|event| event.event == "swapped") {
            pause(PAUSE);
        }
        let mut began = None;
        for event in daemon.events(last)? {
            match (event.event.as_str(), event.sha256) {
                ("swap_began", Some(sha256)) => {
                    let (read, compiled) = daemon.load_times(&sha256)?;
                    let loaded = (event.at - renamed) * 1e3;
                    self.noticed.push(loaded - millis(read) - millis(compiled));
                    self.read.push(millis(read));
                    self.compiled.push(millis(compiled));
                    began = Some(event.at);
                }
                ("instance_swapped", _) => {
                    let began = began.ok_or("an instance was swapped before the swap began")?;
                    self.taken.push((event.at - began) * 1e3);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn tell(self, report: &Report, what: &str) {
        let worst = quantile(self.answered.clone(), 1.0);
        report.note(&format!("{what}: rename to first answer"), quantile(self.answered, 0.5), "ms");
        report.note("  the longest", worst, "ms");
        let parts = [
            ("noticed", self.noticed),
            ("read and hashed", self.read),
            ("compiled, or found", self.compiled),
            ("taken over", self.taken),
        ];
        for (part, times) in parts {
            report.fine(&format!("  {part}"), quantile(times, 0.5), "ms");
        }
    }
}

fn seconds(at: SystemTime) -> Result<f64, Failure> {
    Ok(at.duration_since(UNIX_EPOCH)?.as_secs_f64())
}
