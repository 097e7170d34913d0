//! The configuration after all checks: plain values with units resolved, which is what leaves `src/config`.

mod bindings;
mod hooks;
mod links;
mod module;
mod server;
mod supervision;
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
    module::{
        Declared, EngineKind, HandOver, Instances, Module, ModuleHealth, ModuleLimits, OnFull, Probation, Probe,
        RateLimit, Swap, Wasi,
    },
    server::{Circuit, SecretSource, Server, TlsFiles},
    supervision::{Backoff, Group, HealthCheck, Member, Restart, RestartType, Shutdown, Strategy},
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

/// Directory of compiled code, in the cache directory.
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
    /// How guests run, all of them.
    pub engine: EngineKind,
    /// The engine of the configuration; `engine` is another one where the command line names that.
    pub configured_engine: EngineKind,
    /// Bytes of wasm stack of every guest.
    pub guest_stack: u64,
    /// Bytes of payload that may wait in all queues together.
    pub queue_bytes: u64,
    /// Where compiled code is kept; absolute.
    pub code_dir: PathBuf,
    /// Bytes of compiled code that are kept; 0: none.
    pub code_cache: u64,
}

/// `[control]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Path of the control socket; absolute.
    pub socket: PathBuf,
    /// Permission bits of the socket.
    pub socket_mode: u32,
    /// The group that the socket belongs to, its name or number; `None`: the daemon's own.
    pub socket_group: Option<String>,
    /// Groups whose members may read what the daemon says of itself: names, or numbers as text.
    pub readers: Vec<String>,
    /// Groups whose members may do everything. Where this and `readers` are empty, whoever may connect may do everything.
    pub operators: Vec<String>,
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
