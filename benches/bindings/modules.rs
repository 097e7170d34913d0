//! Calls from module to module: on the same worker beside a guest call from outside there, and across workers beside a
//! guest call from another thread.

use std::sync::Arc;

use bytes::Bytes;
use wapcd::{
    actors::Modules,
    config::{BindingSettings, Rules},
};

use crate::{
    calls::Calls,
    daemon::Daemon,
    harness::{Contender, Failure, Report, WAITING, race, race_at},
    stage::Stage,
};

/// The payload of a call, as in the other benchmarks.
const PAYLOAD: [u8; 1024] = [1; 1024];

/// On the thread that measures.
pub(crate) fn same_worker(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let modules = Modules::default();
    let binding = stage.open(BindingSettings::Module, &modules)?;
    let start = |module| {
        let player = stage.player(module, Rules::None, &binding.actor)?;
        modules.insert(Arc::clone(&player.0));
        Ok::<_, Failure>(player)
    };
    let (caller, target) = (start("caller")?, start("target")?);
    let laps = race(vec![
        stage.host_calls("host call", &caller, &Calls::new("target", "echo", &PAYLOAD)),
        stage.guest_calls("guest call from outside", &target, &Bytes::from_static(&PAYLOAD)),
    ])?;
    report.times("call to another module, same worker", &laps);
    Ok(())
}

/// In a daemon with two workers.
pub(crate) fn other_worker(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let modules = [("caller", 1, "to = \"module\"\nnamespace = \"target\""), ("target", 1, "to = \"log\"")];
    let daemon = Daemon::start(&stage.system, 2, "", &modules)?;
    let places = daemon.workers_of(&["caller", "target"])?;
    if places != [vec![0], vec![1]] {
        return Err(format!("the modules are on the workers {places:?}").into());
    }
    let payload = Bytes::from_static(&PAYLOAD);
    let outside = |times| {
        daemon.timed(|| async {
            for _ in 0..times {
                daemon.call("target", "echo", payload.clone()).await?;
            }
            Ok(())
        })
    };
    let contenders = vec![
        daemon.host_calls("host call", "caller", 1, &Calls::new("target", "echo", &PAYLOAD)),
        Contender::timed("guest call from another thread", outside),
    ];
    report.times("call to another module, on another worker", &race_at(WAITING, contenders)?);
    daemon.stop()
}
