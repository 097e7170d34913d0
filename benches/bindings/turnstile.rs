//! What the turnstile adds to a host call: the same binding behind one that counts and behind one that does not, for one
//! worker, and for two that share it.

use std::{sync::Arc, time::Duration};

use actix::Arbiter;
use tokio::sync::oneshot;
use wapcd::{
    bindings::{Answer, Binding, BindingCall, BindingFactory, Turnstile},
    config::{BindingLimits, Rules},
    host::CompiledModule,
};

use crate::{
    calls::{BINDING, Calls},
    harness::{Contender, Failure, Report, race},
    parts,
    stage::{Player, Stage, timed},
};

/// A binding that answers with its payload, at once or after a look round.
#[derive(Clone, Copy)]
pub(crate) struct Echo {
    at_once: bool,
}

impl Echo {
    /// One that answers at once.
    pub(crate) fn at_once() -> Self {
        Self { at_once: true }
    }

    /// One whose answer is a future, as that of every server is.
    pub(crate) fn later() -> Self {
        Self { at_once: false }
    }
}

impl Binding for Echo {
    fn call(&self, call: BindingCall) -> Answer {
        if self.at_once {
            return Answer::Now(Ok(call.payload));
        }
        Answer::Later(Box::pin(std::future::ready(Ok(call.payload))))
    }
}

impl BindingFactory for Echo {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(*self)
    }

    fn answers_at_once(&self) -> bool {
        self.at_once
    }
}

/// Both kinds, with the words for each.
fn turnstiles() -> [(&'static str, Arc<Turnstile>); 2] {
    let limits = BindingLimits::default();
    [("that counts", Turnstile::new(limits.clone())), ("that is open", Turnstile::open(limits))]
}

pub(crate) fn measure(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let calls = Calls::new("", "echo", &[1; 64]);
    let mut contenders = Vec::new();
    for (name, turnstile) in turnstiles() {
        let binding = stage.system.block_on(parts::binding(&[], Arc::new(Echo::later()), turnstile))?;
        let player = stage.player("caller", Rules::None, &binding)?;
        contenders.push(stage.host_calls(name, &player, &calls));
    }
    report.times("host call through a turnstile, one worker", &race(contenders)?);
    let mut contenders = Vec::new();
    for (name, turnstile) in turnstiles() {
        let (pair, calls) = (Pair::new(stage, &turnstile)?, calls.clone());
        contenders.push(Contender::timed(name, move |times| stage.system.block_on(pair.timed(&calls, times))));
    }
    report.times("... two workers at once, time of each", &race(contenders)?);
    Ok(())
}

/// Two workers, each with an instance that calls a binding behind the same turnstile.
struct Pair([Elsewhere; 2]);

impl Pair {
    fn new(stage: &Stage, turnstile: &Arc<Turnstile>) -> Result<Self, Failure> {
        let start = || stage.system.block_on(Elsewhere::start(stage.code.clone(), Arc::clone(turnstile)));
        Ok(Self([start()?, start()?]))
    }

    /// What a thread worked on its calls, in the mean of both.
    async fn timed(&self, calls: &Calls, times: u32) -> Result<Duration, Failure> {
        let [one, other] = self.0.each_ref().map(|worker| worker.timed(calls, times));
        let (one, other) = tokio::try_join!(one, other)?;
        Ok((one + other) / 2)
    }
}

/// A thread of its own with one instance.
struct Elsewhere {
    arbiter: Arbiter,
    player: Player,
}

impl Elsewhere {
    async fn start(code: CompiledModule, turnstile: Arc<Turnstile>) -> Result<Self, Failure> {
        let (arbiter, queue) = (Arbiter::new(), parts::queue("caller"));
        let player = Player(Arc::clone(&queue));
        let started = on(&arbiter, move || async move {
            let binding = parts::binding(&[], Arc::new(Echo::later()), turnstile).await?;
            parts::instance(&code, &queue, [(parts::link(BINDING, Rules::None), binding)]).await
        });
        started.await?;
        Ok(Self { arbiter, player })
    }

    async fn timed(&self, calls: &Calls, times: u32) -> Result<Duration, Failure> {
        let (player, payload) = (self.player.clone(), calls.times(times)?);
        let call = move || timed(async move { player.call("calls", payload).await.map(drop) });
        on(&self.arbiter, call).await
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.arbiter.stop();
    }
}

/// Does something on another thread, in a task there.
async fn on<T, F>(arbiter: &Arbiter, work: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + 'static,
{
    let (tell, told) = oneshot::channel();
    arbiter.spawn_fn(move || {
        actix::spawn(async move {
            // Whoever asked waits for it.
            tell.send(work().await).ok();
        });
    });
    told.await?
}
