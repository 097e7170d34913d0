//! What HTTP through a guest costs beside a plain actix-web handler in the same process, as wrk sees it.
//!
//! Each measure takes turns with its peer, a second or two each, and tells the median of its rounds.

#[path = "../harness/mod.rs"]
mod harness;

mod server;
mod wrk;

use std::{process::ExitCode, thread, time::Duration};

use harness::{Failure, Report, quantile};
use server::{MANY, SERVE, Server};
use wrk::{Load, Run, post};

/// Rounds of a measure: an odd number, so that the median is one that was seen.
const ROUNDS: usize = 5;

/// How long wrk runs for one figure.
const TIME: Duration = Duration::from_secs(2);

/// Bytes of a request.
const BODY: [u8; 1024] = [b'x'; 1024];

/// A load of 1 KiB requests.
const ECHO: Load<'static> = Load { connections: 32, time: TIME, body: &BODY, random: 0 };

fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [serve, workers, many] = arguments.as_slice()
        && serve == SERVE
    {
        server::serve(workers.parse()?, many == "1")?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = |measure: &str| arguments.is_empty() || arguments.iter().any(|name| name == measure);
    let mut report = Report::new("HTTP to a guest and back");
    report.note("load of the machine before", wrk::load()?, "");
    if wanted("echo") {
        echo(&mut report)?;
    }
    if wanted("workers") {
        workers(&mut report)?;
    }
    if wanted("many") {
        many(&mut report)?;
    }
    if wanted("spin") {
        spin(&mut report)?;
    }
    Ok(report.finish())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(values.collect(), 0.5)
}

/// Lets contenders take turns; gives the runs of each.
fn race(contenders: &mut [&mut dyn FnMut() -> Result<Run, Failure>]) -> Result<Vec<Vec<Run>>, Failure> {
    let mut runs = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, runs) in contenders.iter_mut().zip(&mut runs) {
            runs.push(contender()?);
        }
    }
    Ok(runs)
}

fn rate(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.rate))
}

fn p99(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.p99.as_secs_f64() * 1e3))
}

/// Echo, and echo with a host call, beside the plain handler.
fn echo(report: &mut Report) -> Result<(), Failure> {
    for workers in [1, 2] {
        let server = Server::start(workers, false)?;
        for binding in ["memory", "redb", "file"] {
            // {key: "k", value: 1 KiB}
            let value = [&b"\x82\xa3key\xa1k\xa5value\xc5\x04\x00"[..], &BODY].concat();
            post(&format!("{}/{binding}/set", server.daemon), &value)?;
        }
        let at = |path: &str| format!("{}/{path}", server.daemon);
        let (plain, echo) = (format!("{}/plain/echo", server.plain), at("plain/echo"));
        let (memory, redb, file) = (at("memory/get"), at("redb/get"), at("file/get"));
        let runs = race(&mut [
            &mut || ECHO.run(&plain),
            &mut || ECHO.run(&echo),
            &mut || ECHO.run(&memory),
            &mut || ECHO.run(&redb),
            &mut || ECHO.run(&file),
        ])?;
        let [plain, echo, memory, redb, file] = runs.as_slice() else { return Ok(()) };
        report.note(&format!("plain actix-web, {workers} workers"), rate(plain), "/s");
        report.fine("  99th percentile", p99(plain), "ms");
        report.at_least("  echo of a guest, share of its requests", rate(echo) / rate(plain), 0.85, "");
        report.bound("  99th percentile, times its", p99(echo) / p99(plain), 1.5, "");
        report.at_least("  … with keyvalue in memory, share", rate(memory) / rate(plain), 0.70, "");
        report.at_least("  … with keyvalue on redb, out of its cache, share", rate(redb) / rate(plain), 0.60, "");
        report.note("  … with keyvalue on redb without a cache, share", rate(file) / rate(plain), "");
    }
    Ok(())
}

/// How often the guest loops for this long.
fn loops(server: &Server, time: Duration) -> Result<[u8; 4], Failure> {
    const TRIED: u32 = 4_000_000;
    let url = format!("{}/plain/work", server.daemon);
    post(&url, &TRIED.to_le_bytes())?;
    let took = (0..5).map(|_| post(&url, &TRIED.to_le_bytes())).collect::<Result<Vec<_>, _>>()?;
    let shortest = took.into_iter().min().ok_or("nothing was measured")?;
    let times = f64::from(TRIED) * time.as_secs_f64() / shortest.as_secs_f64();
    Ok((times as u32).to_le_bytes())
}

/// Two workers beside one.
fn workers(report: &mut Report) -> Result<(), Failure> {
    let (one, two) = (Server::start(1, false)?, Server::start(2, false)?);
    let body = loops(&one, Duration::from_millis(1))?;
    let work = Load { body: &body, ..ECHO };
    let urls = [&one, &two].map(|server| format!("{}/plain/work", server.daemon));
    let runs = race(&mut [&mut || work.run(&urls[0]), &mut || work.run(&urls[1])])?;
    let [of_one, of_two] = runs.as_slice() else { return Ok(()) };
    report.note("1 ms of computing, one worker", rate(of_one), "/s");
    report.at_least("  two workers, times its requests", rate(of_two) / rate(of_one), 1.8, "");
    let on_cores = |server: &Server| -> Result<f64, Failure> {
        let before = server.on_cores()?;
        let run = ECHO.run(&format!("{}/plain/echo", server.daemon))?;
        Ok((server.on_cores()? - before).as_secs_f64() * 1e6 / run.requests as f64)
    };
    let mut each = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (server, seen) in [&one, &two].into_iter().zip(&mut each) {
            seen.push(on_cores(server)?);
        }
    }
    let [of_one, of_two] = each.map(|seen| median(seen.into_iter()));
    report.note("echo, time on cores of a request, one worker", of_one, "us");
    report.bound("  two workers, times its", of_two / of_one, 1.1, "");
    Ok(())
}

/// A thousand modules beside one.
fn many(report: &mut Report) -> Result<(), Failure> {
    let server = Server::start(1, true)?;
    let (one, many) = (Load { random: 1, ..ECHO }, Load { random: MANY, ..ECHO });
    // Each has run once before anything is measured.
    many.run(&server.daemon)?;
    let runs = race(&mut [&mut || one.run(&server.daemon), &mut || many.run(&server.daemon)])?;
    let [of_one, of_many] = runs.as_slice() else { return Ok(()) };
    report.note("one module", rate(of_one), "/s");
    report.at_least("  1,000 modules, share of its requests", rate(of_many) / rate(of_one), 0.8, "");
    Ok(())
}

/// Small work beside a module that spins to its deadline on the same workers.
fn spin(report: &mut Report) -> Result<(), Failure> {
    let server = Server::start(2, false)?;
    let body = loops(&server, Duration::from_micros(100))?;
    let work = Load { body: &body, connections: 64, ..ECHO };
    let url = format!("{}/plain/work", server.daemon);
    let alone = work.run(&url)?;
    let spinner = format!("{}/spinner/loop", server.daemon);
    let spinning = thread::spawn(move || {
        let load = Load { connections: 4, time: TIME * (ROUNDS as u32 + 1), body: b"", random: 0 };
        load.run_whatever(&spinner).map(|(_, failed)| failed)
    });
    // It spins before the first of these has ended; the median is that of five.
    let runs = (0..ROUNDS).map(|_| work.run(&url)).collect::<Result<Vec<_>, _>>()?;
    let failed = spinning.join().map_err(|_panic| "the spinner's wrk panicked")??;
    report.note("100 us of work at 64 connections, p99 alone", alone.p99.as_secs_f64() * 1e3, "ms");
    report.bound("  beside a module that spins to its deadline", p99(&runs), 15.0, "ms");
    report.note("  deadlines that the spinner met meanwhile", failed as f64, "");
    Ok(())
}
