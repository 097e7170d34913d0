//! Starts one instance on its worker: the guest first, then its actor, which is born ready.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use actix::{Actor, Addr, ArbiterHandle, Message, Recipient};
use futures_util::{
    FutureExt,
    future::{AbortHandle, AbortRegistration, Abortable, Aborted},
};

use crate::{
    actors::{
        ExitReason, ExitReport, GuestActor, GuestLines, InstanceExited, InstanceFacts, InstanceParts, Links,
        ModuleQueue,
    },
    bindings::BindingCall,
    config::{Module, ModuleLimits, Wasi},
    host::{CompiledModule, HostOptions, Limits, LoadError, WapcHostAsync, WasiParams, panic_message},
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
}

/// Everything that starting an instance takes.
pub(super) struct Start {
    pub(super) module: usize,
    pub(super) slot: usize,
    pub(super) worker: usize,
    pub(super) generation: u64,
    pub(super) compiled: CompiledModule,
    pub(super) config: Arc<Module>,
    pub(super) queue: Arc<ModuleQueue>,
    /// Actors of the bindings on this worker, by the binding's name.
    pub(super) bindings: Vec<(Arc<str>, Recipient<BindingCall>)>,
    pub(super) started: Recipient<InstanceStarted>,
    pub(super) exited: Recipient<InstanceExited>,
}

/// Starts an instance on a worker and returns its id, with the way to end a start that is not wanted any more. The
/// supervisor hears of the start or of its end; `None` when the worker has ended.
pub(super) fn start(worker: &ArbiterHandle, start: Start) -> Option<(u64, AbortHandle)> {
    let instance = NEXT_INSTANCE.fetch_add(1, Ordering::Relaxed);
    let (abort, registration) = AbortHandle::new_pair();
    worker.spawn(run(start, instance, registration)).then_some((instance, abort))
}

async fn run(start: Start, instance: u64, registration: AbortRegistration) {
    let (module, slot) = (start.module, start.slot);
    let (started, exited) = (start.started.clone(), start.exited.clone());
    let making = AssertUnwindSafe(make(start, instance)).catch_unwind();
    let report = match Abortable::new(making, registration).await {
        // Both are notices of which there is one for each instance: they must not be lost to a full mailbox.
        Ok(Ok(Ok((actor, facts)))) => {
            let addr = actor.start();
            return started.do_send(InstanceStarted { module, slot, instance, addr, facts });
        }
        Ok(Ok(Err(error))) => ExitReport::of_load(&error),
        Ok(Err(panic)) => ExitReport::new(ExitReason::Panicked, vec![panic_message(&*panic)]),
        Err(Aborted) => ExitReport::new(ExitReason::Stopped, vec!["the instance was stopped in its start".to_owned()]),
    };
    exited.do_send(InstanceExited { module, slot, instance, report, at: Instant::now() });
}

async fn make(start: Start, instance: u64) -> Result<(GuestActor, Arc<InstanceFacts>), LoadError> {
    let Start { module, slot, worker, generation, compiled, config, queue, bindings, exited, .. } = start;
    let to = |name: &str| bindings.iter().find(|(binding, _)| &**binding == name).map(|(_, actor)| actor.clone());
    let links = config.links.iter().filter_map(|link| Some((Arc::clone(link), to(&link.to)?)));
    let links = Links::new(links, Arc::clone(&config.name), instance, generation);
    links.begin_start(Instant::now() + config.limits.call_timeout);
    let console = GuestLines { module: Arc::clone(&config.name), instance, links: Arc::clone(&links) };
    let options = HostOptions { limits: Limits::from(&config.limits), console: Arc::new(console) };
    let provider = Box::new(compiled.provider(wasi(&config.wasi)));
    let host = WapcHostAsync::with_options(provider, Some(links.callback()), options).await?;
    let (supervisor, facts) = (exited, Arc::new(InstanceFacts::default()));
    facts.generation.store(generation, Ordering::Relaxed);
    let seen = Arc::clone(&facts);
    let parts = InstanceParts { host, links, queue, supervisor, facts, module, slot, instance, generation, worker };
    Ok((GuestActor::new(parts), seen))
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
