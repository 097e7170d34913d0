//! How much longer interpreted guests take than compiled ones: for a call that does next to nothing, and for one that
//! computes.

mod harness;

use std::process::ExitCode;

use bytes::Bytes;
use harness::{Contender, Failure, Report, race};
use wapcd::host::{EngineSettings, Execution, WapcHost, WasiParams, WasmtimeEngine};

/// What the guest computes a checksum of.
const COMPUTED: usize = 16 << 10;

fn main() -> Result<ExitCode, Failure> {
    let report = Report::new("Interpreted and compiled guests");
    let guest = wat::parse_str(include_str!("guests/engines.wat"))?;
    for (measure, operation, bytes) in
        [("echo, 0 B", "echo", 0), ("echo, 1 KiB", "echo", 1 << 10), ("checksum of 16 KiB", "sum", COMPUTED)]
    {
        let payload = Bytes::from(vec![7; bytes]);
        let contender = |name, execution| {
            let mut host = start(&guest, execution)?;
            let payload = payload.clone();
            Ok::<_, Failure>(Contender::new(name, move || {
                host.call(operation, payload.clone())?;
                Ok(())
            }))
        };
        let contenders =
            vec![contender("interpreted", Execution::Interpreted)?, contender("compiled", Execution::Compiled)?];
        report.times(measure, &race(contenders)?);
    }
    Ok(report.finish())
}

fn start(guest: &[u8], execution: Execution) -> Result<WapcHost, Failure> {
    let engine = WasmtimeEngine::new(EngineSettings { execution, instances: 1, ..EngineSettings::default() })?;
    let module = engine.compile(guest)?;
    Ok(WapcHost::new(Box::new(module.provider(WasiParams::default())), None)?)
}
