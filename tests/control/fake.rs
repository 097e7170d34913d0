//! A daemon made of memory: its modules are named for what they do.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::{Condvar, Mutex};
use rustix::process::{self, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use wapcd::{
    actors::{CallFailure, CallReply, CallRequest, RanOn, Refusal},
    bindings::{
        Answer, BindingCall, BindingContext, BindingFactory, ModuleCaller,
        messaging::Broker,
        metrics::{GuestFamily, GuestMetrics},
        start_backend,
    },
    config::{Binding, BindingSettings, MessagingBackend, MessagingSettings},
    control::{Action, Bounds, ControlError, ControlSocket, Daemon, Grants, Server, ServerHandle, Settings, Waits},
    host::{CallError, Frame, GuestExit, LoadError, Part, Resource, Trap, TrapKind},
    supervisor::{
        events::Events,
        status::{
            BindingStatus, ModuleState, ModuleStatus, ReloadReport, ServiceState, Status, SwapReport, TriggerStatus,
        },
    },
};

use crate::described::{differing, module, status};

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
    /// What its guests count.
    pub(crate) guests: Arc<GuestMetrics>,
    /// A binding inside the daemon.
    pub(crate) broker: Arc<dyn BindingFactory>,
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
            guests: Arc::default(),
            broker: messaging(),
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
        // Both ends of each connection are descriptors of this process, and tests beside each other have hundreds.
        let most = getrlimit(process::Resource::Nofile).maximum;
        setrlimit(process::Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut settings = settings(&dir);
        change(&mut settings);
        let socket = ControlSocket::open(&settings).unwrap();
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
        socket_group: None,
        grants: Grants::default(),
        max_calls: 64,
        max_swaps: 4,
        max_changes: 4,
        followers: 4,
        metrics_listen: None,
        waits: Waits { answer: SOON, action: Duration::ZERO, change: SOON, slack: Duration::ZERO, ..Waits::default() },
    }
}

/// A binding that carries messages, as far as there are modules.
fn messaging() -> Arc<dyn BindingFactory> {
    struct NoModules;
    impl ModuleCaller for NoModules {
        fn call(&self, _: BindingCall) -> Answer {
            panic!("nobody calls a module")
        }
    }
    let backend = MessagingBackend::Local;
    let settings = MessagingSettings { backend, queue: 8, queue_bytes: 1 << 20, max_message: 100 };
    let binding = Binding::with_defaults("bus", BindingSettings::Messaging(settings));
    start_backend(&binding, &BindingContext::new(Arc::new(NoModules))).unwrap()
}

/// How long the server waits for the fake.
const SOON: Duration = Duration::from_secs(1);

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
    fn guest_metrics(&self) -> Vec<GuestFamily> {
        self.guests.families()
    }

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

    fn broker(&self, binding: String) -> BoxFuture<'static, Result<Arc<dyn Broker>, ControlError>> {
        let broker = self.broker.broker();
        async move {
            match binding.as_str() {
                "bus" => broker.ok_or(ControlError::NoSuchBinding(binding)),
                "cache" => Err(ControlError::NoMessages { binding, type_name: "keyvalue" }),
                "down" => Err(ControlError::BindingUnavailable { binding, state: "backoff" }),
                "hangs" => std::future::pending().await,
                _ => Err(ControlError::NoSuchBinding(binding)),
            }
        }
        .boxed()
    }

    fn events(&self) -> Events {
        self.events.clone()
    }

    fn trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let found = self.status.lock().triggers.iter().find(|trigger| trigger.name == name).cloned();
        async { found.ok_or(ControlError::NoSuchTrigger(name)) }.boxed()
    }

    fn act_on_trigger(&self, name: String, action: Action) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let found = self.trigger(name);
        async move {
            let state = if action == Action::Stop { ServiceState::Stopped } else { ServiceState::Running };
            Ok(TriggerStatus { state, ..found.await? })
        }
        .boxed()
    }

    fn run_trigger(&self, name: String) -> BoxFuture<'static, Result<TriggerStatus, ControlError>> {
        let found = self.trigger(name);
        async move {
            let trigger = found.await?;
            match trigger.type_name.as_str() {
                "schedule" => Ok(trigger),
                _ => Err(ControlError::TriggerRefused { trigger: trigger.name, why: "it has no times".into() }),
            }
        }
        .boxed()
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
