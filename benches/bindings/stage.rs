//! Guests and bindings on the thread that measures, and how long they are on its core.

use std::{sync::Arc, time::Duration};

use actix::{Recipient, SystemRunner};
use bytes::Bytes;
use wapcd::{
    actors::{ModuleQueue, Modules},
    bindings::{BindingCall, BindingContext, BindingFactory, Turnstile, operations, start_backend},
    config::{Binding, BindingLimits, BindingSettings, Rules},
    host::{CompiledModule, EngineSettings, WasmtimeEngine},
};

use crate::{
    calls::{BINDING, Calls},
    harness::{Contender, Failure, Stopwatch},
    parts,
};

/// The guest of all measures.
pub(crate) fn guest() -> Result<Vec<u8>, Failure> {
    Ok(wat::parse_str(include_str!("../guests/bindings.wat"))?)
}

/// A thread with an actix system, and the guest's code.
pub(crate) struct Stage {
    pub(crate) system: SystemRunner,
    pub(crate) code: CompiledModule,
}

/// A binding that is open, with its actor on the stage.
pub(crate) struct Opened {
    pub(crate) backend: Arc<dyn BindingFactory>,
    pub(crate) actor: Recipient<BindingCall>,
}

/// A module on the stage, whose guest makes host calls to one binding.
#[derive(Clone)]
pub(crate) struct Player(pub(crate) Arc<ModuleQueue>);

impl Stage {
    pub(crate) fn new() -> Result<Self, Failure> {
        let engine = WasmtimeEngine::new(EngineSettings::default())?;
        Ok(Self { system: actix::System::new(), code: engine.compile(&guest()?)? })
    }

    /// Opens the backend that the settings name and starts its actor, with the turnstile that the daemon gives it.
    pub(crate) fn open(&self, settings: BindingSettings, modules: &Modules) -> Result<Opened, Failure> {
        let (names, has_backend) = (operations(&settings), settings.has_backend());
        let context = BindingContext::new(Arc::new(modules.clone()));
        let backend = start_backend(&Binding::with_defaults(BINDING, settings), &context)?;
        let limits = BindingLimits::default();
        let counts = has_backend && !backend.answers_at_once();
        let turnstile = if counts { Turnstile::new(limits) } else { Turnstile::open(limits) };
        let actor = self.system.block_on(parts::binding(names, Arc::clone(&backend), turnstile))?;
        Ok(Opened { backend, actor })
    }

    /// Starts an instance of a module with a link to that binding.
    pub(crate) fn player(
        &self,
        module: &str,
        rules: Rules,
        binding: &Recipient<BindingCall>,
    ) -> Result<Player, Failure> {
        let queue = parts::queue(module);
        let links = [(parts::link(BINDING, rules), binding.clone())];
        self.system.block_on(parts::instance(&self.code, &queue, links))?;
        Ok(Player(queue))
    }

    /// Host calls of a player: a batch is one guest call.
    pub(crate) fn host_calls<'s>(&'s self, name: &'static str, player: &Player, calls: &Calls) -> Contender<'s> {
        let (player, calls) = (player.clone(), calls.clone());
        Contender::timed(name, move |times| self.time(&player, &calls, times))
    }

    /// How long the thread works on so many host calls.
    pub(crate) fn time(&self, player: &Player, calls: &Calls, times: u32) -> Result<Duration, Failure> {
        let (player, payload) = (player.clone(), calls.times(times)?);
        self.timed(async move { player.call("calls", payload).await.map(drop) })
    }

    /// Guest calls of a player from outside, on its own thread.
    pub(crate) fn guest_calls<'s>(&'s self, name: &'static str, player: &Player, payload: &Bytes) -> Contender<'s> {
        let (player, payload) = (player.clone(), payload.clone());
        Contender::timed(name, move |times| {
            let (player, payload) = (player.clone(), payload.clone());
            self.timed(async move {
                for _ in 0..times {
                    player.call("echo", payload.clone()).await?;
                }
                Ok(())
            })
        })
    }

    /// How long this is on the core, in a task of its own, as a connection or an instance is one.
    fn timed(&self, work: impl Future<Output = Result<(), Failure>> + 'static) -> Result<Duration, Failure> {
        self.system.block_on(async { actix::spawn(timed(work)).await? })
    }
}

impl Player {
    pub(crate) async fn call(&self, operation: &str, payload: Bytes) -> Result<Bytes, Failure> {
        Ok(self.0.call(parts::request(operation, payload), None).await.outcome?)
    }
}

/// How long the thread works on this.
pub(crate) async fn timed(work: impl Future<Output = Result<(), Failure>>) -> Result<Duration, Failure> {
    let started = Stopwatch::start();
    work.await?;
    Ok(started.elapsed())
}
