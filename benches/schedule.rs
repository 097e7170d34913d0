//! By how much a thousand scheduled calls a second are late.
//!
//! A whole daemon without its socket. At full seconds a thousand schedules are due at the same moment, and their guests read the
//! clock: what they see is the way from the time to the guest, with all that waits there for its turn. The others say
//! themselves when their calls began.

mod harness;

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use harness::{Failure, Report, quantile};
use tokio::time::sleep;
use wapcd::{
    actors::{CallRequest, Origin},
    bindings::Chain,
    config::{self, Environment},
    supervisor::{self, SupervisorHandle, Surroundings},
    triggers::Detail,
};

/// None may be later, in milliseconds.
const LATE_MILLIS: f64 = 50.0;

/// How long each scene is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Modules among which the schedules are divided.
const MODULES: usize = 10;

/// From one question for what schedules say to the next: short beside a second, so that no call goes unseen; longer than
/// the answer takes.
const LOOK: Duration = Duration::from_millis(400);

/// So many schedules, at these times.
struct Scene {
    name: &'static str,
    schedules: usize,
    times: &'static str,
    /// Whether guests are called at full seconds.
    seconds: bool,
}

const SCENES: [Scene; 3] = [
    Scene { name: "1,000 at each full second", schedules: 1000, times: "cron = \"* * * * * *\"", seconds: true },
    Scene { name: "1,000 every second", schedules: 1000, times: "every = \"1s\"", seconds: false },
    Scene { name: "10 every 10 ms", schedules: 10, times: "every = \"10ms\"", seconds: false },
];

fn main() -> Result<ExitCode, Failure> {
    let mut report = Report::new("A thousand scheduled calls a second");
    actix::System::new().block_on(async {
        for scene in &SCENES {
            watch(scene, &mut report).await?;
        }
        Ok::<_, Failure>(())
    })?;
    Ok(report.finish())
}

fn configuration(scene: &Scene) -> Result<String, Failure> {
    let mut text = "[daemon]\nworkers = 2\nstate_dir = \"state\"\n".to_owned();
    for module in 0..MODULES {
        writeln!(text, "[modules.m{module}]\npath = \"guest.wasm\"")?;
    }
    for schedule in 0..scene.schedules {
        let module = schedule % MODULES;
        writeln!(text, "[triggers.s{schedule}]\ntype = \"schedule\"\nmodule = \"m{module}\"\noperation = \"tick\"")?;
        writeln!(text, "{}", scene.times)?;
    }
    Ok(text)
}

/// What schedules said.
#[derive(Default)]
struct Said {
    calls: u64,
    failed: u64,
    skipped: u64,
    missed: u64,
    /// When each was seen to call last.
    last: HashMap<String, f64>,
    /// By how much each call that was seen was late, in milliseconds.
    late: Vec<f64>,
}

async fn watch(scene: &Scene, report: &mut Report) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("guest.wasm"), wat::parse_str(include_str!("guests/schedule.wat"))?)?;
    let text = configuration(scene)?;
    let config = config::parse(&text, &dir.path().join("wapcd.toml"), &Environment::from_process())?;
    let daemon = supervisor::start(config, Surroundings::default()).await?;
    // Until each of them has called.
    while daemon.status().await?.triggers.iter().any(|trigger| trigger.facts.as_ref().is_none_or(|f| f.calls_ok == 0)) {
        sleep(LOOK).await;
    }
    let before = counts(&daemon).await?;
    let (began, mut said) = (Instant::now(), Said::default());
    look(&daemon, &mut said).await?;
    let first = (said.calls, said.missed);
    said.late.clear();
    while began.elapsed() < WATCHED {
        sleep(LOOK).await;
        look(&daemon, &mut said).await?;
    }
    let took = began.elapsed().as_secs_f64();
    report.note(&format!("{}, calls a second", scene.name), (said.calls - first.0) as f64 / took, "");
    tell(report, "  begun late, seen in the status", said.late.clone());
    if scene.seconds {
        let after = counts(&daemon).await?;
        let late = before.iter().zip(&after).enumerate().flat_map(|(millis, (before, after))| {
            // Half a millisecond in the middle of what is counted together.
            vec![millis as f64 + 0.5; (after - before) as usize]
        });
        tell(report, "  at the guest late", late.collect());
    }
    report.bound("  missed, skipped or failed", (said.missed - first.1 + said.skipped + said.failed) as f64, 0.0, "");
    daemon.shutdown(Duration::from_secs(5), "the benchmark is over").await;
    Ok(())
}

fn tell(report: &mut Report, what: &str, late: Vec<f64>) {
    report.fine(&format!("{what}, median"), quantile(late.clone(), 0.5), "ms");
    report.fine(&format!("{what}, 99th percentile"), quantile(late.clone(), 0.99), "ms");
    report.bound(&format!("{what}, latest of {}", late.len()), quantile(late, 1.0), LATE_MILLIS, "ms");
}

async fn look(daemon: &SupervisorHandle, said: &mut Said) -> Result<(), Failure> {
    (said.calls, said.failed, said.skipped, said.missed) = (0, 0, 0, 0);
    for trigger in daemon.status().await?.triggers {
        let Some(facts) = trigger.facts else { continue };
        let Detail::Schedule { last, skipped, missed, latest_s, .. } = facts.detail else { continue };
        said.calls += facts.calls_ok;
        said.failed += facts.calls_failed;
        said.skipped += skipped;
        said.missed += missed;
        if let Some(last) = last
            && said.last.insert(trigger.name, last) != Some(last)
        {
            said.late.push(latest_s * 1e3);
        }
    }
    Ok(())
}

/// Calls of all guests by their millisecond.
async fn counts(daemon: &SupervisorHandle) -> Result<Vec<u32>, Failure> {
    let mut sum = vec![0_u32; 1000];
    for module in 0..MODULES {
        let request = CallRequest {
            operation: "report".to_owned(),
            payload: Bytes::new(),
            deadline: None,
            origin: Origin::Control,
            chain: Chain::default(),
        };
        let counts = daemon.call(&format!("m{module}"), request).await.outcome?;
        for (sum, count) in sum.iter_mut().zip(counts.chunks_exact(4)) {
            *sum += u32::from_le_bytes(count.try_into()?);
        }
    }
    Ok(sum)
}
