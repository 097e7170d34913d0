//! From the start of the process until a hundred modules run.

use std::{fs, time::UNIX_EPOCH};

use crate::{
    SMALL,
    daemon::Home,
    guests::guest,
    harness::{Failure, Report, quantile},
    module,
};

/// Modules, all of other code.
const MODULES: u32 = 100;

/// What a start with everything in the cache may take, in milliseconds.
const WITH_CACHE: f64 = 300.0;

/// Starts that compile, and starts that do not: odd numbers, so that the median is one that was seen.
const COMPILED: u32 = 3;
const CACHED: u32 = 15;

pub(crate) fn measure(report: &mut Report) -> Result<(), Failure> {
    let names: Vec<String> = (0..MODULES).map(|number| format!("m{number}")).collect();
    let modules: String = names.iter().map(|name| module(name)).collect();
    let with = Home::new("", &modules)?;
    let without = Home::new("code_cache = \"0 B\"", &modules)?;
    for (name, seed) in names.iter().zip(1..) {
        let guest = guest(SMALL, seed)?;
        for home in [&with, &without] {
            home.place(&format!("{name}.wasm"), &guest)?;
        }
    }
    let (mut off, mut first, mut cached) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..COMPILED {
        off.push(start(&without)?);
        fs::remove_dir_all(with.path("state")).ok();
        first.push(start(&with)?);
    }
    for _ in 0..CACHED {
        cached.push(start(&with)?);
    }
    report.note("100 modules of 100 KB run, without the cache", quantile(off, 0.5), "ms");
    report.note("the same, with the cache still empty", quantile(first, 0.5), "ms");
    report.note("the same from the cache, the shortest", quantile(cached.clone(), 0.0), "ms");
    report.bound("the same from the cache", quantile(cached, 0.5), WITH_CACHE, "ms");
    Ok(())
}

/// Starts the daemon and stops it; milliseconds until the last module ran.
fn start(home: &Home) -> Result<f64, Failure> {
    let daemon = home.start()?;
    let events = daemon.events(0)?;
    let running = events.iter().filter(|event| event.runs());
    let running: Vec<f64> = running.map(|event| event.at).collect();
    if running.len() != MODULES as usize {
        return Err(format!("{} of {MODULES} modules run", running.len()).into());
    }
    let spawned = daemon.spawned().duration_since(UNIX_EPOCH)?.as_secs_f64();
    daemon.stop()?;
    Ok((running.into_iter().fold(0.0, f64::max) - spawned) * 1e3)
}
