//! The configuration after all checks: plain values with units resolved, which is what leaves `src/config`.

mod bindings;
mod hooks;
mod links;
mod server;
mod triggers;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use self::{
    bindings::{
        Binding, BindingLimits, BindingSettings, BlobBackend, BlobSettings, Durability, HttpClientSettings,
        KeyValueBackend, KeyValueSettings, MessagingBackend, MessagingSettings, MetricsSettings, ProcessSettings,
        SecretSettings, SqlBackend, SqlSettings,
    },
    hooks::{OnStart, OnStop},
    links::{AddressRange, HostPattern, HttpRules, Link, Operations, Rules, Space, SqlRules, Topic},
    server::{Circuit, SecretSource, Server, TlsFiles},
    triggers::{
        AfterFile, Authentication, Calendar, CalendarError, Cors, DurableConsumer, FilesSettings, HttpLimits,
        HttpSettings, Listen, Listener, MessagesSettings, Overlap, Payload, PayloadFormat, Route, ScheduleSettings,
        ServerTls, Target, Template, Trigger, TriggerSettings, When,
    },
};

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it came from.
    pub source: PathBuf,
    /// Every file that was read, the source first, then its includes in the order in which they were merged; absolute.
    pub files: Vec<PathBuf>,
    /// The patterns of `include`, each a directory and the pattern of names in it; absolute. Their directories are looked
    /// at for files that come.
    pub includes: Vec<PathBuf>,
    /// `[daemon]`.
    pub daemon: Daemon,
    /// `[control]`.
    pub control: Control,
    /// `[logging]`.
    pub logging: Logging,
    /// `[bindings.*]` in file order, then the types without settings that are there under their type's name.
    pub bindings: Vec<Binding>,
    /// `[modules.*]` in file order.
    pub modules: Vec<Module>,
    /// `[groups.*]` in file order.
    pub groups: Vec<Group>,
    /// `[triggers.*]` in file order.
    pub triggers: Vec<Trigger>,
    /// `[metrics]`.
    pub metrics: Metrics,
    /// `[watch]`.
    pub watch: Watch,
    /// `[drop_in]`; `None`: no directory is looked at.
    pub drop_in: Option<DropIn>,
    /// `[defaults]`: what a module gets that says nothing.
    pub defaults: ModuleDefaults,
}

/// `[defaults]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModuleDefaults {
    /// `[defaults.limits]`.
    pub limits: ModuleLimits,
    /// `[defaults.restart]`.
    pub restart: Restart,
}

/// `[watch]`: how changes of files are noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Watch {
    /// How directories are watched.
    pub mode: WatchMode,
    /// How long a file must rest before it is read; it starts anew with each change, but never delays beyond four times
    /// itself.
    pub settle: Duration,
    /// How often files are looked at where the kernel does not tell of changes.
    pub poll: Duration,
    /// Whether a change of the configuration's files reloads it.
    pub config: bool,
}

/// How directories are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchMode {
    /// By the kernel's notices, and by polling where there are none: on network file systems, or at the kernel's limit.
    Auto,
    /// By polling only.
    Poll,
    /// Not at all: files are looked at when someone asks.
    Off,
}

/// `[drop_in]`: a directory whose files are modules.
#[derive(Debug, Clone, PartialEq)]
pub struct DropIn {
    /// The directory; absolute.
    pub dir: PathBuf,
    /// Names of the bindings that a dropped module may link to.
    pub links: Vec<Arc<str>>,
    /// Whose files are accepted besides the daemon's own and root's: names of users, or their numbers as text.
    pub owners: Vec<String>,
    /// Whose files are accepted besides: names of groups whose members' files are, or their numbers as text.
    pub groups: Vec<String>,
    /// Whether files are accepted whoever owns or may write them: for development.
    pub allow_unsafe_permissions: bool,
}

/// Directory of compiled code, in the state directory.
pub const CODE_DIRECTORY: &str = "code";

/// Directory of what runs instead of the modules' files, in the state directory.
pub const SWAPS_DIRECTORY: &str = "swaps";

/// `[daemon]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Daemon {
    /// Where databases and other written files live; absolute.
    pub state_dir: PathBuf,
    /// Where sockets live; absolute.
    pub runtime_dir: PathBuf,
    /// Threads that run guests and bindings; at least 1.
    pub workers: usize,
    /// How long running calls may take to finish at a stop.
    pub shutdown_grace: Duration,
    /// Bytes of wasm stack of every guest.
    pub guest_stack: u64,
    /// Bytes of payload that may wait in all queues together.
    pub queue_bytes: u64,
    /// Bytes of compiled code that are kept in the state directory; 0: none.
    pub code_cache: u64,
}

/// `[control]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Path of the control socket; absolute.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
}

/// `[logging]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Logging {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// `[metrics]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Where metrics can be read over TCP, besides the control socket; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Severity of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Journald under systemd, text on a terminal, JSON otherwise.
    Auto,
    /// Native journal fields.
    Journald,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// One `[modules.NAME]`, or a file of the drop-in directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name.
    pub name: Arc<str>,
    /// Where it is declared.
    pub declared: Declared,
    /// The wasm file; absolute.
    pub path: PathBuf,
    /// Which engine runs it.
    pub engine: EngineKind,
    /// Whether it is loaded at the first call only.
    pub lazy: bool,
    /// How many instances.
    pub instances: Instances,
    /// Calls that may wait.
    pub queue: u32,
    /// Bytes of payload that may wait.
    pub queue_bytes: u64,
    /// How long a call may wait before it starts; `None`: until its deadline.
    pub queue_timeout: Option<Duration>,
    /// What happens to a call that finds the queue full.
    pub on_full: OnFull,
    /// How many calls it takes in a time; `None`: no limit.
    pub rate_limit: Option<RateLimit>,
    /// How long its first instances wait for the bindings that it links to.
    pub binding_wait: Duration,
    /// How long a running call may take to finish when the module is stopped.
    pub shutdown: Shutdown,
    /// How its instances are asked whether they are well; `None`: not at all.
    pub health: Option<ModuleHealth>,
    /// Its limits.
    pub limits: ModuleLimits,
    /// What it may reach, in file order.
    pub links: Vec<Arc<Link>>,
    /// `[modules.NAME.config]`, an object: what its guest reads over a `config` binding.
    pub config: Arc<serde_json::Value>,
    /// How it is restarted.
    pub restart: Restart,
    /// What WASI grants it.
    pub wasi: Wasi,
    /// How new code takes over.
    pub swap: Swap,
    /// What its guest is called with once when it starts or is swapped; `None`: nothing.
    pub on_start: Option<OnStart>,
    /// What its guest is called with once when it stops in order; `None`: nothing.
    pub on_stop: Option<OnStop>,
}

/// Where a module is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// In the configuration.
    Configured,
    /// By its file in the drop-in directory.
    Dropped,
}

impl Declared {
    /// The name in JSON and tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Dropped => "dropped",
        }
    }
}

/// `[modules.NAME.swap]`: how new code of a running module takes over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swap {
    /// What a new instance must answer before it takes over.
    pub probe: Option<Probe>,
    /// How long new code is watched.
    pub probation: Option<Probation>,
    /// How an instance hands its state to the one that follows.
    pub hand_over: Option<HandOver>,
}

/// A call that a new instance must answer before it takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The guest's operation.
    pub operation: String,
    /// Its payload.
    pub payload: String,
    /// The response, byte for byte; `None`: any that is no error.
    pub expect: Option<String>,
}

/// How long new code is watched, and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probation {
    /// For so long after the swap ...
    pub time: Duration,
    /// ... so many of its instances may fail; one more rolls it back.
    pub max_failures: u32,
}

/// The operations by which state is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// Called on the old instance with an empty payload; its response is the state.
    pub export: String,
    /// Called on the new instance with the state.
    pub import: String,
}

/// Engines that can be named in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// wasmtime with its optimising compiler.
    Cranelift,
}

/// How many instances a module has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instances {
    /// So many, spread over the workers.
    Count(u32),
    /// One on every worker.
    PerWorker,
}

impl Instances {
    /// The number of instances on a daemon with so many workers.
    #[must_use]
    pub fn count(self, workers: usize) -> usize {
        match self {
            Self::Count(n) => n as usize,
            Self::PerWorker => workers,
        }
    }
}

/// What happens to a call that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// It is refused at once.
    Reject,
    /// It waits for room, until its deadline.
    Wait,
}

/// How many calls a module takes in a time: `calls` in `per` on average, and `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// So many calls ...
    pub calls: u32,
    /// ... in this time.
    pub per: Duration,
    /// Calls that may come at once after a rest; at least 1.
    pub burst: u32,
}

/// How long a child may take to end when it is stopped; OTP's `shutdown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// So long; what still runs then is ended.
    After(Duration),
    /// It is ended at once.
    Kill,
    /// As long as it takes. Every call has a deadline, so a module ends all the same.
    Infinity,
}

/// When a child is asked whether it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthCheck {
    /// From one check to the next.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that must fail before the child counts as unhealthy; at least 1.
    pub failures: u32,
}

/// `[modules.NAME] health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleHealth {
    /// The guest's operation that is called, with an empty payload; an error is a failed check.
    pub operation: String,
    /// When.
    pub check: HealthCheck,
}

/// `[modules.NAME.limits]` over `[defaults.limits]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleLimits {
    /// Bytes of the wasm file.
    pub module_size: u64,
    /// Bytes of linear memory of one instance.
    pub memory: u64,
    /// Elements of all tables of one instance.
    pub table_elements: u64,
    /// Wall-clock time of one call, waiting included.
    pub call_timeout: Duration,
    /// Bytes of a call's payload.
    pub payload: u64,
    /// Bytes of a call's response or error text.
    pub response: u64,
}

/// `[groups.NAME]`: children that are restarted together, and counted together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Who is restarted when a member is.
    pub strategy: Strategy,
    /// Its members in the order of their start; each is a member of this group only.
    pub members: Vec<Member>,
    /// At most so many restarts of members ...
    pub intensity: u32,
    /// ... in this time; then the group as a whole has failed.
    pub period: Duration,
    /// After which time a failed group gets a new chance; `None`: never.
    pub retry_failed: Option<Duration>,
    /// Whether the daemon stops when the group has failed for good.
    pub critical: bool,
}

/// A member of a group, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Member {
    /// A module.
    Module(Arc<str>),
    /// A binding.
    Binding(Arc<str>),
    /// Another group.
    Group(Arc<str>),
    /// A trigger.
    Trigger(Arc<str>),
}

/// OTP's strategies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the member that ended is restarted.
    OneForOne,
    /// All members are.
    OneForAll,
    /// The member that ended and those after it are.
    RestForOne,
}

impl Strategy {
    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OneForOne => "one_for_one",
            Self::OneForAll => "one_for_all",
            Self::RestForOne => "rest_for_one",
        }
    }
}

/// `[modules.NAME.restart]` or `[bindings.NAME.restart]` over `[defaults.restart]`. In a group the group's intensity, period
/// and `retry_failed` hold instead.
#[derive(Debug, Clone, PartialEq)]
pub struct Restart {
    /// What is restarted.
    pub restart_type: RestartType,
    /// At most so many restarts ...
    pub intensity: u32,
    /// ... in this time without a successful call.
    pub period: Duration,
    /// Whether a successful call clears the history.
    pub reset_on_success: bool,
    /// After which time a failed module gets a new chance; `None`: never.
    pub retry_failed: Option<Duration>,
    /// How long to wait before a restart.
    pub backoff: Backoff,
}

/// OTP's restart types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartType {
    /// Always restarted.
    Permanent,
    /// Restarted after a failure only.
    Transient,
    /// Never restarted.
    Temporary,
}

/// How long to wait before a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// By how much each wait is longer than the one before; at least 1.
    pub factor: f64,
    /// Random part of each wait, from 0 to 1.
    pub jitter: f64,
}

impl Backoff {
    /// The wait after it has grown so often; `roll`, from 0 to 1, is the random share of the jitter.
    #[must_use]
    pub fn wait(&self, growths: u32, roll: f64) -> Duration {
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let grown = self.initial.as_secs_f64() * self.factor.powi(i32::try_from(growths).unwrap_or(i32::MAX));
        let wait = grown.min(self.max.as_secs_f64());
        Duration::try_from_secs_f64(wait * (1.0 - self.jitter * roll)).unwrap_or(self.max)
    }
}

/// `[modules.NAME.wasi]`: nothing is granted by default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wasi {
    /// Arguments, the program's name first.
    pub argv: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Directories that guests see under their own absolute path.
    pub preopened_dirs: Vec<PathBuf>,
    /// Guest path and directory of the host.
    pub map_dirs: Vec<(String, PathBuf)>,
}
