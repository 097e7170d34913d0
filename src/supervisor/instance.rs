//! Starts guests on their workers: one for a new instance, whose actor is then born ready, or one that a live instance
//! takes over.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{Actor, Addr, ArbiterHandle, Message, Recipient};
use futures_util::{
    FutureExt,
    future::{AbortHandle, AbortRegistration, Abortable, Aborted},
};

use super::on_start::{Opening, open};
use crate::{
    actors::{
        ExitReason, ExitReport, Guest, GuestActor, GuestLines, InstanceExited, InstanceFacts, InstanceParts, Links,
        ModuleQueue, TakeOver, TookOver, causes_of,
    },
    bindings::{BindingCall, Observer},
    config::{HandOver, Link, Module, ModuleLimits, Probe, Wasi},
    host::{CompiledModule, HostOptions, Limits, WapcHostAsync, WasiParams, panic_message},
};

/// Id of the next instance. 0 means none.
static NEXT_INSTANCE: AtomicU64 = AtomicU64::new(1);

/// Tells the supervisor that an instance takes calls. Nobody answers.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct InstanceStarted {
    pub(super) module: usize,
    pub(super) slot: usize,
    pub(super) instance: u64,
    pub(super) addr: Addr<GuestActor>,
    pub(super) facts: Arc<InstanceFacts>,
    pub(super) links: Arc<Links>,
    /// With which it was started; the module's may be another by now.
    pub(super) config: Arc<Module>,
}

/// What a guest is made of, as the supervisor knows it.
pub(super) struct Recipe {
    pub(super) generation: u64,
    pub(super) compiled: CompiledModule,
    pub(super) config: Arc<Module>,
    /// What the guest must answer before it serves.
    pub(super) probe: Option<Probe>,
    /// Whether it opens the module: then `on_start` is called before it serves, and this hears of the attempts.
    pub(super) opening: Option<Opening>,
    /// Actors of the bindings on its worker, by the binding's name.
    pub(super) bindings: Vec<(Arc<str>, Recipient<BindingCall>)>,
    /// Hears of host calls that are not allowed.
    pub(super) observer: Arc<dyn Observer>,
}

/// Everything that starting an instance takes.
pub(super) struct Start {
    pub(super) module: usize,
    pub(super) slot: usize,
    pub(super) worker: usize,
    pub(super) recipe: Recipe,
    pub(super) queue: Arc<ModuleQueue>,
    pub(super) started: Recipient<InstanceStarted>,
    pub(super) exited: Recipient<InstanceExited>,
}

/// Everything that giving a live instance another guest takes.
pub(super) struct Renewal {
    pub(super) module: usize,
    pub(super) instance: u64,
    pub(super) addr: Addr<GuestActor>,
    pub(super) recipe: Recipe,
    pub(super) hand_over: Option<HandOver>,
    pub(super) reply: Recipient<TookOver>,
}

/// Starts an instance on a worker and returns its id, with the way to end a start that is not wanted any more. The
/// supervisor hears of the start or of its end; `None` when the worker has ended.
pub(super) fn start(worker: &ArbiterHandle, start: Start) -> Option<(u64, AbortHandle)> {
    let instance = NEXT_INSTANCE.fetch_add(1, Ordering::Relaxed);
    let (abort, registration) = AbortHandle::new_pair();
    worker.spawn(run(start, instance, registration)).then_some((instance, abort))
}

/// Starts another guest for a live instance, beside the one that serves, and sends it to the instance. The supervisor
/// hears how that ended; `None` when the worker has ended.
pub(super) fn renew(worker: &ArbiterHandle, renewal: Renewal) -> Option<AbortHandle> {
    let (abort, registration) = AbortHandle::new_pair();
    worker.spawn(run_renewal(renewal, registration)).then_some(abort)
}

async fn run_renewal(renewal: Renewal, registration: AbortRegistration) {
    let Renewal { module, instance, addr, recipe, hand_over, reply } = renewal;
    let (timeout, generation) = (recipe.config.limits.call_timeout, recipe.generation);
    let making = AssertUnwindSafe(make(recipe, instance)).catch_unwind();
    let causes = match Abortable::new(making, registration).await {
        Ok(Ok(Ok(guest))) => {
            let take_over = TakeOver { guest, hand_over, timeout, reply: reply.clone() };
            // One message for each swap of an instance; one that has ended says so by its exit.
            return addr.do_send(take_over);
        }
        Ok(Ok(Err(report))) => report.causes,
        Ok(Err(panic)) => vec![panic_message(&*panic)],
        Err(Aborted) => vec!["the swap was given up".to_owned()],
    };
    // Notices of which there is one for each swap of an instance: not to be lost to a full mailbox.
    reply.do_send(TookOver { module, instance, generation, outcome: Err(causes) });
}

async fn run(start: Start, instance: u64, registration: AbortRegistration) {
    let Start { module, slot, worker, recipe, queue, started, exited } = start;
    let config = Arc::clone(&recipe.config);
    let making = AssertUnwindSafe(make(recipe, instance)).catch_unwind();
    let report = match Abortable::new(making, registration).await {
        // Both are notices of which there is one for each instance: they must not be lost to a full mailbox.
        Ok(Ok(Ok(guest))) => {
            let (facts, links) = (Arc::new(InstanceFacts::default()), Arc::clone(&guest.links));
            let (supervisor, seen) = (exited, Arc::clone(&facts));
            let parts = InstanceParts { guest, queue, supervisor, facts, module, slot, instance, worker };
            let addr = GuestActor::new(parts).start();
            return started.do_send(InstanceStarted { module, slot, instance, addr, facts: seen, links, config });
        }
        Ok(Ok(Err(report))) => report,
        Ok(Err(panic)) => ExitReport::new(ExitReason::Panicked, vec![panic_message(&*panic)]),
        Err(Aborted) => ExitReport::new(ExitReason::Stopped, vec!["the instance was stopped in its start".to_owned()]),
    };
    exited.do_send(InstanceExited { module, slot, instance, report, at: Instant::now() });
}

/// Starts a guest, which opens the module where it is to.
async fn make(recipe: Recipe, instance: u64) -> Result<Guest, ExitReport> {
    match (&recipe.opening, &recipe.config.on_start) {
        (Some(opening), Some(on_start)) => open(&recipe, on_start, opening, instance).await,
        _ => begin(&recipe, instance).await,
    }
}

/// Starts a guest: its start functions, then its probe.
pub(super) async fn begin(recipe: &Recipe, instance: u64) -> Result<Guest, ExitReport> {
    let Recipe { generation, compiled, config, probe, opening: _, bindings, observer } = recipe;
    let (generation, observer) = (*generation, Arc::clone(observer));
    let links = Links::new(routes(config, bindings), Arc::clone(&config.name), instance, generation, observer);
    links.begin_start(Instant::now() + config.limits.call_timeout);
    let console = GuestLines { module: Arc::clone(&config.name), instance, generation, links: Arc::clone(&links) };
    let options = HostOptions { limits: Limits::from(&config.limits), console: Arc::new(console) };
    let provider = Box::new(compiled.provider(wasi(&config.wasi)));
    let host = WapcHostAsync::with_options(provider, Some(links.callback()), options).await;
    let host = host.map_err(|error| ExitReport::of_load(&error))?;
    let mut guest = Guest { host, links, generation };
    if let Some(probe) = probe {
        let probed = try_out(&mut guest, probe, config.limits.call_timeout).await;
        probed.map_err(|causes| ExitReport::new(ExitReason::StartFailed, causes))?;
    }
    Ok(guest)
}

/// The links of a module with the actors that they lead to on one worker.
pub(super) fn routes(
    config: &Module,
    bindings: &[(Arc<str>, Recipient<BindingCall>)],
) -> Vec<(Arc<Link>, Recipient<BindingCall>)> {
    let to = |name: &str| bindings.iter().find(|(binding, _)| &**binding == name).map(|(_, actor)| actor.clone());
    config.links.iter().filter_map(|link| Some((Arc::clone(link), to(&link.to)?))).collect()
}

/// Characters of a wrong answer that are told.
const ANSWER_SHOWN: usize = 200;

/// Calls the probe, whose answer must be the expected one.
async fn try_out(guest: &mut Guest, probe: &Probe, timeout: Duration) -> Result<(), Vec<String>> {
    let now = Instant::now();
    guest.links.begin_start(now + timeout);
    let Probe { operation, payload, expect } = probe;
    let answer = guest.host.call_until(operation, payload.clone(), now, now + timeout).await.map_err(|error| {
        std::iter::once(format!("the probe `{operation}` failed")).chain(causes_of(&error)).collect::<Vec<_>>()
    })?;
    match expect {
        Some(expected) if answer != expected.as_bytes() => {
            let answer: String = String::from_utf8_lossy(&answer).chars().take(ANSWER_SHOWN).collect();
            Err(vec![format!("the probe `{operation}` answered {answer:?}, expected {expected:?}")])
        }
        _ => Ok(()),
    }
}

impl From<&ModuleLimits> for Limits {
    fn from(limits: &ModuleLimits) -> Self {
        Self {
            memory: limits.memory,
            table_elements: limits.table_elements,
            payload: limits.payload,
            response: limits.response,
            deadline: Some(limits.call_timeout),
        }
    }
}

fn wasi(wasi: &Wasi) -> WasiParams {
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    WasiParams {
        argv: wasi.argv.clone(),
        map_dirs: wasi.map_dirs.iter().map(|(guest, host)| (guest.clone(), text(host))).collect(),
        env_vars: wasi.env.clone(),
        preopened_dirs: wasi.preopened_dirs.iter().map(text).collect(),
    }
}
