//! A daemon made of memory: its modules are named for what they do.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;
use wapcd::{
    actors::{CallFailure, CallReply, CallRequest, RanOn, Refusal},
    control::{Action, Bounds, ControlError, ControlSocket, Daemon, Server, ServerHandle, Settings, Waits},
    host::{CallError, Frame, GuestExit, LoadError, Part, Resource, Trap, TrapKind},
    supervisor::{
        events::Events,
        status::{
            BindingState, BindingStatus, ConfigurationStatus, DropInStatus, ExitStatus, GenerationOrigin,
            GenerationOutcome, GenerationStatus, GroupState, GroupStatus, HostCallCount, InstanceStatus, Latency,
            ModuleState, ModuleStatus, RefusedFile, ReloadReport, Status, SwapCounts, SwapErrorStatus, SwapReport,
            WorkerState, WorkerStatus,
        },
    },
};

/// Id of every call.
pub(crate) const CALL: u64 = 41;

/// How a reload ends.
#[derive(Clone)]
pub(crate) enum Reload {
    /// With this report, whose `dry_run` is what was asked.
    Done(ReloadReport),
    /// With these problems.
    Refused(Vec<String>),
    /// Because the daemon stops.
    Stopping,
    /// Never.
    Hangs,
    /// With a panic.
    Panics,
}

/// A swap that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Swapped {
    pub(crate) module: String,
    pub(crate) code: Bytes,
    pub(crate) force: bool,
}

pub(crate) struct Fake {
    /// How many calls, swaps, rollbacks and reloads have arrived.
    arrived: Arc<(Mutex<u32>, Condvar)>,
    /// The swaps.
    pub(crate) swaps: Arc<Mutex<Vec<Swapped>>>,
    /// How reloads end.
    pub(crate) reload: Mutex<Reload>,
    /// What requests may have.
    pub(crate) bounds: Mutex<Bounds>,
    /// What it says about itself.
    pub(crate) status: Mutex<Status>,
    /// What happened to it.
    pub(crate) events: Events,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            arrived: Arc::default(),
            swaps: Arc::default(),
            reload: Mutex::new(Reload::Done(ReloadReport::default())),
            bounds: Mutex::new(bounds()),
            status: Mutex::new(status()),
            events: Events::default(),
        }
    }
}

impl Fake {
    /// Notes that something has arrived.
    fn arrives(arrived: &(Mutex<u32>, Condvar)) {
        *arrived.0.lock() += 1;
        arrived.1.notify_all();
    }

    /// Waits until so many calls and changes have arrived.
    pub(crate) fn wait_for_calls(&self, count: u32) {
        let (arrived, changed) = &*self.arrived;
        let mut arrived = arrived.lock();
        let timed_out = changed.wait_while_for(&mut arrived, |arrived| *arrived < count, Duration::from_secs(20));
        assert!(!timed_out.timed_out(), "{arrived} of {count} calls arrived");
    }
}

/// A running server in a directory of its own.
pub(crate) struct Running {
    pub(crate) dir: TempDir,
    pub(crate) handle: ServerHandle,
    pub(crate) fake: Arc<Fake>,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::with(|_settings| {})
    }

    /// Starts with other settings than usual.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(&dir);
        change(&mut settings);
        let socket = ControlSocket::bind(&settings.socket, settings.socket_mode).unwrap();
        let fake = Arc::new(Fake::default());
        Self { handle: Server::start(socket, settings, fake.clone()).unwrap(), fake, dir }
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("wapcd.sock")
    }
}

pub(crate) fn settings(dir: &TempDir) -> Settings {
    Settings {
        socket: dir.path().join("wapcd.sock"),
        socket_mode: 0o660,
        max_calls: 64,
        max_swaps: 4,
        max_changes: 4,
        followers: 4,
        metrics_listen: None,
        waits: Waits { answer: SOON, action: Duration::ZERO, change: SOON, slack: Duration::ZERO, ..Waits::default() },
    }
}

/// How long the server waits for the fake.
const SOON: Duration = Duration::from_millis(200);

/// Bounds with which bodies of calls have 1 MiB and those of swaps 2 MiB: the server allows 64 KiB more.
fn bounds() -> Bounds {
    Bounds { payload: (1 << 20) - (64 << 10), module_size: (2 << 20) - (64 << 10), call: SOON, grace: SOON }
}

/// The end of the change that a module is named for.
async fn change(name: String, force: bool) -> Result<SwapReport, ControlError> {
    let why = "this code was rolled back 3 minutes ago; --force takes it".to_owned();
    match name.as_str() {
        "echo" | "a/b ä" => Ok(SwapReport { changed: true, module: module(&name, ModuleState::Running) }),
        "same" => Ok(SwapReport { changed: false, module: module(&name, ModuleState::Running) }),
        "failed" => Ok(SwapReport { changed: true, module: module(&name, ModuleState::Failed) }),
        "barred" if !force => Err(ControlError::SwapRefused { module: name, why }),
        "barred" => Ok(SwapReport { changed: true, module: module(&name, ModuleState::Running) }),
        "broken" => {
            let causes = vec!["it does not compile".into(), "a \u{1b}[2J cause\nof two lines".into()];
            Err(ControlError::SwapFailed { module: name, causes })
        }
        "stopping" => Err(ControlError::ShuttingDown),
        "hangs" | "hangs-too" => std::future::pending().await,
        "panics" => panic!("the fake panicked on purpose"),
        _ => Err(ControlError::NoSuchModule(name)),
    }
}

impl Daemon for Fake {
    fn status(&self) -> BoxFuture<'static, Result<Status, ControlError>> {
        let status = self.status.lock().clone();
        async { Ok(status) }.boxed()
    }

    fn swap(&self, name: String, code: Bytes, force: bool) -> BoxFuture<'static, Result<SwapReport, ControlError>> {
        let (swaps, swap) = (self.swaps.clone(), Swapped { module: name.clone(), code, force });
        Self::arrives(&self.arrived);
        if name == "slow" {
            let slow = async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                swaps.lock().push(swap);
                change("echo".into(), force).await
            };
            return slow.boxed();
        }
        swaps.lock().push(swap);
        change(name, force).boxed()
    }

    fn roll_back(&self, name: String) -> BoxFuture<'static, Result<SwapReport, ControlError>> {
        Self::arrives(&self.arrived);
        change(name, false).boxed()
    }

    fn reload(&self, dry_run: bool) -> BoxFuture<'static, Result<ReloadReport, ControlError>> {
        let reload = self.reload.lock().clone();
        Self::arrives(&self.arrived);
        async move {
            match reload {
                Reload::Done(report) => Ok(ReloadReport { dry_run, ..report }),
                Reload::Refused(problems) => Err(ControlError::ReloadRefused { problems }),
                Reload::Stopping => Err(ControlError::ShuttingDown),
                Reload::Hangs => std::future::pending().await,
                Reload::Panics => panic!("the fake panicked on purpose"),
            }
        }
        .boxed()
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.lock()
    }

    fn module(&self, name: String) -> BoxFuture<'static, Result<ModuleStatus, ControlError>> {
        async move {
            match name.as_str() {
                "echo" => Ok(module("echo", ModuleState::Running)),
                "failed" => Ok(module("failed", ModuleState::Failed)),
                "differs" => Ok(differing()),
                "hangs" => std::future::pending().await,
                "panics" => panic!("the fake panicked on purpose"),
                _ => Err(ControlError::NoSuchModule(name)),
            }
        }
        .boxed()
    }

    fn bindings(&self) -> BoxFuture<'static, Result<Vec<BindingStatus>, ControlError>> {
        let bindings = self.status.lock().bindings.clone();
        async { Ok(bindings) }.boxed()
    }

    fn events(&self) -> Events {
        self.events.clone()
    }

    fn act(&self, name: String, action: Action) -> BoxFuture<'static, Result<ModuleStatus, ControlError>> {
        async move {
            match (name.as_str(), action) {
                ("stopping", _) => Err(ControlError::ShuttingDown),
                ("echo", Action::Stop) => Ok(module("echo", ModuleState::Stopped)),
                ("echo" | "failed", _) => {
                    Ok(module(&name, if name == "echo" { ModuleState::Running } else { ModuleState::Failed }))
                }
                _ => Err(ControlError::NoSuchModule(name)),
            }
        }
        .boxed()
    }

    fn call(&self, module: String, request: CallRequest) -> BoxFuture<'static, CallReply> {
        let arrived = self.arrived.clone();
        async move {
            Self::arrives(&arrived);
            let outcome = match module.as_str() {
                "echo" => Ok(request.payload),
                "operation" => Ok(request.operation.into()),
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok(request.payload)
                }
                "hangs" | "hangs-too" => std::future::pending().await,
                _ => Err(failure(&module)),
            };
            let ran_on = outcome.is_ok().then_some(RanOn { instance: 5, generation: 3 });
            CallReply { call: CALL, ran_on, outcome }
        }
        .boxed()
    }
}

/// The failure that a module is named for.
fn failure(name: &str) -> CallFailure {
    let module: Arc<str> = name.into();
    let refused = |refusal| CallFailure::Refused { module: name.into(), refusal };
    let exit = |exit: GuestExit| CallFailure::Call(CallError::Exit(exit));
    let too_large = |part| CallFailure::Call(CallError::TooLarge { part, size: 9, limit: 8 });
    let (waited, retry_after) = (Duration::from_secs(3), Duration::from_millis(1500));
    match name {
        "guest-error" => CallFailure::Call(CallError::Guest("no such pet: \u{1b}[31mäö".into())),
        "stopped" => refused(Refusal::Stopped),
        "failed" => refused(Refusal::Failed("it trapped six times".into())),
        "shutting-down" => refused(Refusal::ShuttingDown),
        "busy" => CallFailure::Busy { module, what: "its queue of 4 calls is".into(), retry_after },
        "expired" => CallFailure::Expired { module, waited },
        "cycle" => CallFailure::Cycle { target: "a".into(), path: "a → b → a".into() },
        "operation-too-large" => too_large(Part::Operation),
        "payload-too-large" => too_large(Part::Payload),
        "response-too-large" => too_large(Part::Response),
        "trapped" => exit(GuestExit::Trapped(trap())),
        "deadline-exceeded" => exit(GuestExit::DeadlineExceeded { limit: waited, elapsed: waited, in_host_call: true }),
        "limit-exceeded" => exit(GuestExit::LimitExceeded {
            resource: Resource::Memory,
            limit: 65536,
            asked: Some(131_072),
            trap: trap(),
        }),
        "exited" => exit(GuestExit::Exited(u32::MAX)),
        "host-panicked" => exit(GuestExit::HostPanicked("index out of bounds".into())),
        "load-failed" => CallFailure::Call(CallError::Restart(LoadError::NotAModule("a component".into()))),
        "lost" => CallFailure::Lost("its worker ended".into()),
        _ => CallFailure::NoSuchModule(name.into()),
    }
}

fn trap() -> Box<Trap> {
    let frame = Frame { function: Some("pets::feed".into()), index: 3, offset: Some(0x1f) };
    Box::new(Trap {
        kind: TrapKind::Unreachable,
        message: "unreachable was executed".into(),
        backtrace: vec![frame, Frame { function: None, index: 9, offset: None }],
        guest_error: None,
    })
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn counted(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

pub(crate) fn module(name: &str, state: ModuleState) -> ModuleStatus {
    let exit = ExitStatus {
        reason: "trapped".into(),
        causes: vec!["the guest trapped: unreachable was executed".into(), "a \u{1b}[2J cause".into()],
        backtrace: vec!["pets::feed @ 0x1f".into()],
        operation: Some("feed".into()),
        call: Some(CALL),
        origin: Some("control".into()),
        at: now() - 10_810.0,
    };
    ModuleStatus {
        name: name.into(),
        state,
        group: (name == "failed").then(|| "pets".into()),
        waiting_for: Vec::new(),
        next_try: None,
        path: format!("/srv/{name}.wasm"),
        sha256: Some("ab".repeat(32)),
        generation: 3,
        declared: "configured".into(),
        differs: None,
        swapping: None,
        last_swap_error: None,
        swaps: [("file", 1, 3), ("operator", 2, 0)]
            .map(|(origin, done, failed)| (origin.to_owned(), SwapCounts { done, failed }))
            .into(),
        generations: generations(),
        instances: vec![InstanceStatus {
            id: 5,
            slot: 0,
            worker: 1,
            generation: 3,
            uptime_s: 60.0,
            memory_bytes: 65_536,
        }],
        queued: 2,
        queued_bytes: 10,
        in_flight: 1,
        calls_ok: 100,
        calls_failed: 4,
        calls_refused: 3,
        calls: counted(&[("ok", 100), ("trapped", 4), ("busy", 3)]),
        latency: Some(Latency { count: 104, sum_s: 1.04, buckets: vec![(0.001, 0), (0.01, 52), (0.1, 103)] }),
        restarts: 6,
        restarts_by_reason: counted(&[("trapped", 4), ("deadline_exceeded", 2)]),
        restarts_in_window: 2,
        last_exit: (state == ModuleState::Failed).then_some(exit),
        uptime_s: Some(61.0),
    }
}

/// A module whose code is not that of its file, amid a swap, after another that failed.
fn differing() -> ModuleStatus {
    let mut it = module("differs", ModuleState::Running);
    it.differs = Some("its file \u{1b}[2J is refused".into());
    it.swapping = Some("generation 5: 1 of 2 instances have it".into());
    it.generations[1].outcome = GenerationOutcome::OnProbation;
    it.last_swap_error = Some(SwapErrorStatus {
        at: now() - 61.0,
        origin: GenerationOrigin::RollBack,
        sha256: Some("0123456789abcdef".repeat(4)),
        causes: vec!["its probe failed".into(), "a \u{7} trap".into()],
    });
    it
}

/// Three loads of a module's code, newest first: one that never took over, the one that runs, and the one before.
fn generations() -> Vec<GenerationStatus> {
    let (refused, start) = (GenerationOutcome::Refused, GenerationOrigin::Start);
    let of = |generation, hash: &str, origin, outcome, why: Option<&str>| GenerationStatus {
        generation,
        sha256: hash.repeat(32),
        size: 1 << (8 + 2 * generation),
        origin,
        at: 951_782_400.0 + generation as f64,
        outcome,
        why: why.map(str::to_owned),
    };
    vec![
        of(4, "ef", GenerationOrigin::File, refused, Some("its probe \u{1b}[2J failed")),
        of(3, "ab", GenerationOrigin::Operator, GenerationOutcome::Current, None),
        of(2, "cd", start, GenerationOutcome::Replaced, None),
    ]
}

fn worker(index: usize) -> WorkerStatus {
    WorkerStatus { index, state: WorkerState::Running, stalled_s: None, instances: 1, replaced: 0 }
}

fn binding() -> BindingStatus {
    BindingStatus {
        name: "cache".into(),
        type_name: "keyvalue".into(),
        state: BindingState::Running,
        group: None,
        next_try: None,
        host_calls: vec![
            HostCallCount { operation: "get".into(), outcome: "ok".into(), count: 12 },
            HostCallCount { operation: "get".into(), outcome: "not_found".into(), count: 2 },
        ],
        restarts_by_reason: Default::default(),
        restarts_in_window: 0,
        last_exit: None,
        uptime_s: None,
        calls_ok: 12,
        calls_failed: 0,
        restarts: 0,
    }
}

fn status() -> Status {
    Status {
        version: "1.2.3".into(),
        pid: 7,
        uptime_s: 3_700.0,
        workers: (0..2).map(worker).collect(),
        groups: vec![group()],
        configuration: ConfigurationStatus {
            path: "/etc/wapcd/wapcd.toml".into(),
            loaded_at: now() - 3_610.0,
            reloads: 5,
            reloads_refused: 1,
            last_error: None,
        },
        drop_in: Some(DropInStatus {
            path: "/var/lib/wapcd/modules".into(),
            refused: vec![RefusedFile { file: "a\u{7}.wasm".into(), why: "user 7 owns it".into() }],
        }),
        draining: false,
        queue_bytes: 1536,
        modules: vec![module("echo", ModuleState::Running), module("failed", ModuleState::Failed)],
        bindings: vec![binding()],
    }
}

fn group() -> GroupStatus {
    GroupStatus {
        name: "pets".into(),
        state: GroupState::Running,
        strategy: "rest_for_one".into(),
        members: vec!["bindings.cache".into(), "modules.failed".into()],
        group: None,
        critical: true,
        restarts: 9,
        restarts_in_window: 2,
        next_try: None,
    }
}
