//! A whole daemon without its socket, for what does not happen on one thread; what is told is the time that passes.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use actix::SystemRunner;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tempfile::TempDir;
use wapcd::{
    config::{self, Environment},
    supervisor::{self, SupervisorHandle, Surroundings},
};

use crate::{
    calls::{BINDING, Calls},
    harness::{Contender, Failure},
    parts,
    stage::guest,
};

/// A daemon in a directory of its own.
pub(crate) struct Daemon<'s> {
    system: &'s SystemRunner,
    handle: SupervisorHandle,
    directory: TempDir,
}

impl<'s> Daemon<'s> {
    /// Starts one with so many workers, these bindings, and modules: name, number of instances, and where the link leads.
    pub(crate) fn start(
        system: &'s SystemRunner,
        workers: usize,
        bindings: &str,
        modules: &[(&str, usize, &str)],
    ) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("guest.wasm"), guest()?)?;
        let mut text = format!("[daemon]\nworkers = {workers}\nstate_dir = \"state\"\n{bindings}\n");
        for (module, instances, link) in modules {
            write!(
                text,
                "[modules.{module}]\npath = \"guest.wasm\"\ninstances = {instances}\nlimits = {{ call_timeout = \"1m\" }}\n\
                 [[modules.{module}.links]]\nbinding = \"{BINDING}\"\n{link}\n"
            )?;
        }
        let config = config::parse(&text, &directory.path().join("wapcd.toml"), &Environment::from_process())?;
        let handle = system.block_on(supervisor::start(config, Surroundings::default()))?;
        let daemon = Self { system, handle, directory };
        for (module, ..) in modules {
            // Waits until it runs.
            system.block_on(daemon.call(module, "echo", Bytes::new()))?;
        }
        Ok(daemon)
    }

    /// Where it keeps its databases.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The workers of the instances of modules.
    pub(crate) fn workers_of(&self, modules: &[&str]) -> Result<Vec<Vec<usize>>, Failure> {
        let status = self.system.block_on(self.handle.status())?;
        let places = modules.iter().map(|name| {
            let module = status.modules.iter().find(|module| module.name == *name);
            module.map(|module| module.instances.iter().map(|instance| instance.worker).collect()).unwrap_or_default()
        });
        Ok(places.collect())
    }

    pub(crate) async fn call(&self, module: &str, operation: &str, payload: Bytes) -> Result<Bytes, Failure> {
        Ok(self.handle.call(module, parts::request(operation, payload)).await.outcome?)
    }

    /// Host calls, so many in flight: as many guest calls at once, each of which makes its share one after the other.
    pub(crate) fn host_calls<'d>(
        &'d self,
        name: &'static str,
        module: &'static str,
        in_flight: u32,
        calls: &Calls,
    ) -> Contender<'d> {
        let calls = calls.clone();
        Contender::timed(name, move |times| {
            let payload = calls.times(times.div_ceil(in_flight))?;
            let share = (0..in_flight).map(|_| self.call(module, "calls", payload.clone()));
            self.timed(|| try_join_all(share)).map(|took| fair(took, times, in_flight))
        })
    }

    /// The time that passes.
    pub(crate) fn timed<T, F>(&self, work: impl FnOnce() -> F) -> Result<Duration, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let began = Instant::now();
        self.system.block_on(work())?;
        Ok(began.elapsed())
    }

    pub(crate) fn stop(self) -> Result<(), Failure> {
        self.system.block_on(self.handle.shutdown(Duration::from_secs(1), "the benchmark is over"));
        Ok(())
    }
}

/// What so many calls took where each of those in flight makes the same number of them, which may be a few more together.
pub(crate) fn fair(took: Duration, times: u32, in_flight: u32) -> Duration {
    let made = times.div_ceil(in_flight) * in_flight;
    took.mul_f64(f64::from(times) / f64::from(made))
}
