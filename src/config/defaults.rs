//! What holds where the file says nothing. Every default is here, with its reason, and nowhere else.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    model::{
        Backoff, Binding, BindingLimits, BindingSettings, Circuit, Declared, EngineKind, Group, HealthCheck,
        HttpClientSettings, HttpLimits, Instances, LogFormat, LogLevel, Logging, Module, ModuleLimits, OnFull, Restart,
        RestartType, Shutdown, Strategy, Swap, TlsFiles, Wasi, Watch, WatchMode,
    },
    size::{KIB, MIB},
};

/// Shorter than systemd's `TimeoutStopSec` of 90 s, so that the daemon ends by itself and not by SIGKILL.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);
/// Compiled guests run many times as fast; whoever forbids executable memory asks for the other.
pub const ENGINE: EngineKind = EngineKind::Cranelift;
/// What wasmtime itself takes; half of it breaks deep recursive parsers, twice as much costs 10,000 instances 5 GB of address space.
pub const GUEST_STACK: u64 = 512 * KIB;
/// Sixteen full module queues: bounds the memory of a daemon whose modules are all overrun at once.
pub const DAEMON_QUEUE_BYTES: u64 = 256 * MIB;
/// Name of the control socket in the runtime directory; `wapcctl` looks for the same.
pub const SOCKET: &str = "wapcd.sock";
/// The daemon's user and its group may control it, nobody else may.
pub const SOCKET_MODE: u32 = 0o660;

/// Above the largest guests of common toolchains (a Go program has 2 MB, interpreters compiled to wasm some 30 MB).
pub const MODULE_SIZE: u64 = 64 * MIB;
/// Enough for guests with a garbage collector; 100 such instances at their ceiling still fit a small machine.
pub const MEMORY: u64 = 64 * MIB;
/// Function tables of large programs have some thousand entries; a pool reserves 8 bytes for each.
pub const TABLE_ELEMENTS: u64 = 20_000;
/// Longer than any request that somebody waits for, short enough that a hanging guest is noticed.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// A sixteenth of the default memory: the guest holds the payload, its decoded form and its answer at once.
pub const PAYLOAD: u64 = 4 * MIB;
/// As for payloads; what one guest answers another takes as a payload.
pub const RESPONSE: u64 = 4 * MIB;

/// At one millisecond a call a second of work: a longer queue would only hold calls that expire in it.
pub const QUEUE: u32 = 1024;
/// Four payloads of the largest default size, or 1024 of 16 KiB.
pub const QUEUE_BYTES: u64 = 16 * MIB;

/// Restarts within the period before a module counts as failed.
pub const INTENSITY: u32 = 5;
/// The time in which restarts are counted: five failures in it without a success between them are no coincidence.
pub const PERIOD: Duration = Duration::from_secs(30);
/// Twice the period: a failed module neither stays down for a night nor spins.
pub const RETRY_FAILED: Duration = Duration::from_secs(60);
/// Long enough for a backend to close its port and open it again, too short for a person to notice.
pub const BACKOFF_INITIAL: Duration = Duration::from_millis(100);
/// As long as the period; with longer waits the intensity could never be reached.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Doubling reaches the longest wait in nine steps.
pub const BACKOFF_FACTOR: f64 = 2.0;
/// A fifth is enough to part modules that failed together.
pub const BACKOFF_JITTER: f64 = 0.2;

/// Longer than a database takes to open, also after a crash; a start that waits longer is better made visible.
pub const BINDING_WAIT: Duration = Duration::from_secs(10);
/// A running call ends by its own deadline, so waiting for it is bounded; ending it earlier would lose it.
pub const MODULE_SHUTDOWN: Shutdown = Shutdown::Infinity;
/// What OTP gives its workers; a database writes what it has in far less.
pub const BINDING_SHUTDOWN: Shutdown = Shutdown::After(Duration::from_secs(5));
/// Often enough to notice a sick child before most callers do, and no load.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(10);
/// A check does next to nothing; one that takes a second is late.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// One failed check can be chance, three in a row are not.
pub const HEALTH_FAILURES: u32 = 3;

/// As OTP's default: children fail alone unless somebody says that they belong together.
pub const GROUP_STRATEGY: Strategy = Strategy::OneForOne;
/// As OTP's default: a second restart within the period ends the group.
pub const GROUP_INTENSITY: u32 = 1;
/// As OTP's default.
pub const GROUP_PERIOD: Duration = Duration::from_secs(5);

/// A copy in pieces pauses for less; a person does not notice it.
pub const WATCH_SETTLE: Duration = Duration::from_millis(50);
/// A look at a thousand files takes milliseconds; what nobody tells of is noticed soon all the same.
pub const WATCH_POLL: Duration = Duration::from_secs(2);
/// Name of the drop-in directory in the state directory.
pub const DROP_IN_DIR: &str = "modules";
/// Compiled code of some two hundred guests of usual size.
pub const CODE_CACHE: u64 = 512 * MIB;
/// A start that fails is repeated with growing waits anyway; more attempts are for those who want no failed start.
pub const ON_START_ATTEMPTS: u32 = 1;
/// Time for what the call needs to come back, as the first wait of a reconnecting binding.
pub const ON_START_RETRY_DELAY: Duration = Duration::from_secs(1);
/// Any failure in its first time is the new code's.
pub const PROBATION_FAILURES: u32 = 0;

/// Long enough to count per second, which is how limits are mostly thought of.
pub const RATE_LIMIT_PER: Duration = Duration::from_secs(1);

/// Bytes of keys and values of a binding in memory: as much as one guest may hold.
pub const KEYVALUE_MAX_BYTES: u64 = 64 * MIB;
/// Thousands of small values, in a daemon that has a binding or two of this kind; the pages of the file are cached besides.
pub const KEYVALUE_CACHE: u64 = 16 * MIB;
/// Longer than any sensible path or URL used as a key.
pub const KEYVALUE_MAX_KEY: u64 = KIB;
/// As much as a payload, since a value comes in one and leaves in one.
pub const KEYVALUE_MAX_VALUE: u64 = 4 * MIB;

/// What one backend does at once: enough to keep a server busy over a network (64 in flight were measured to be), with room
/// for several modules.
pub const BINDING_CONCURRENT: u32 = 256;
/// As many as modules queue by default.
pub const BINDING_QUEUE: u32 = 1024;
/// Above what guests send by default (4 MiB), so that each type's own limits and their messages come first.
pub const BINDING_REQUEST: u64 = 16 * MIB;
/// As for requests.
pub const BINDING_RESPONSE: u64 = 16 * MIB;
/// A server that does not take a connection in this time is down for whoever waits for it.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to a server, shared by all workers. Clients that send many requests over one connection use fewer.
pub const CONNECTIONS: u32 = 8;
/// One failure is a hiccup, five in a row are an outage.
pub const CIRCUIT_FAILURES: u32 = 5;
/// Bytes of a `blob` binding in memory.
pub const BLOB_MAX_BYTES: u64 = 64 * MIB;
/// What guests send and take by default at most.
pub const BLOB_MAX_OBJECT: u64 = 4 * MIB;
/// What stores without regions answer to.
pub const S3_REGION: &str = "us-east-1";
/// Rows of an answer: more than a page, less than a guest's memory.
pub const SQL_MAX_ROWS: u32 = 1000;
/// How long a statement waits for a lock of another process.
pub const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that wait for a subscriber who is slow for a moment.
pub const MESSAGING_QUEUE: u32 = 1024;
/// As much as may wait for a module.
pub const MESSAGING_QUEUE_BYTES: u64 = 16 * MIB;
/// What NATS servers take by default.
pub const MESSAGING_MAX_MESSAGE: u64 = MIB;
/// As browsers do at least.
pub const HTTP_REDIRECTS: u32 = 5;
/// What guests take by default.
pub const HTTP_MAX_BODY: u64 = 4 * MIB;
/// With those that wait, a quarter of what a binding does at once: three hosts that hang leave room for others.
pub const HTTP_PER_HOST: u32 = 32;
/// As many as one host is asked at once.
pub const HTTP_IDLE: u32 = 32;
/// Names the daemon, and no version, which would tell attackers what to try.
pub const HTTP_USER_AGENT: &str = "wapcd";
/// Series of one module.
pub const METRICS_SERIES: u32 = 100;
/// Interpreters with many imports take seconds on a busy machine.
pub const PROCESS_START: Duration = Duration::from_secs(10);

/// A call that a trigger began ends by its own deadline of five seconds at most, where nobody has set a longer one.
pub const TRIGGER_SHUTDOWN: Shutdown = Shutdown::After(Duration::from_secs(10));
/// As for the control socket: a proxy in the group may connect.
pub const LISTENER_MODE: u32 = 0o660;
/// The largest payload that a module takes by default.
pub const HTTP_BODY: u64 = PAYLOAD;
/// As much as may wait in all queues.
pub const HTTP_BODIES: u64 = DAEMON_QUEUE_BYTES;
/// What the common servers take.
pub const HTTP_HEAD: u64 = 16 * KIB;
/// Some 20 KiB each are 200 MiB at most.
pub const HTTP_CONNECTIONS: u32 = 10_000;
/// A head is a packet or two; who takes longer holds a connection.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest default body over a slow mobile connection.
pub const HTTP_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// As for bodies.
pub const HTTP_WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the minute after which most proxies give up theirs, so that it is not we who close under a request.
pub const HTTP_KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Bad Gateway: what is behind the daemon did not do it.
pub const ROUTE_ERROR_STATUS: u16 = 502;
/// What browsers take by default.
pub const CORS_MAX_AGE: Duration = Duration::from_secs(5);
/// The zone that has no summer.
pub const SCHEDULE_TIMEZONE: chrono_tz::Tz = chrono_tz::Tz::UTC;
/// Enough to keep several instances busy; a module's queue holds the rest.
pub const TRIGGER_CONCURRENCY: u32 = 16;
/// Files in their order, one after the other.
pub const FILES_CONCURRENCY: u32 = 1;
/// A hiccup is over by then; what fails five times fails again.
pub const MAX_DELIVERIES: u32 = 5;
/// The default of the server; calls that take longer tell it so meanwhile.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// As for messages.
pub const FILE_ATTEMPTS: u32 = 5;
/// Longer than a restart takes.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body: HTTP_BODY,
            bodies: HTTP_BODIES,
            head: HTTP_HEAD,
            connections: HTTP_CONNECTIONS,
            head_timeout: HTTP_HEAD_TIMEOUT,
            body_timeout: HTTP_BODY_TIMEOUT,
            write_timeout: HTTP_WRITE_TIMEOUT,
            keep_alive: HTTP_KEEP_ALIVE,
        }
    }
}

impl Default for BindingLimits {
    fn default() -> Self {
        Self {
            concurrent: BINDING_CONCURRENT,
            queue: BINDING_QUEUE,
            timeout: None,
            max_request: BINDING_REQUEST,
            max_response: BINDING_RESPONSE,
        }
    }
}

impl Default for HttpClientSettings {
    fn default() -> Self {
        Self {
            tls: TlsFiles::default(),
            connect_timeout: CONNECT_TIMEOUT,
            max_redirects: HTTP_REDIRECTS,
            max_body: HTTP_MAX_BODY,
            connections_per_host: HTTP_PER_HOST,
            idle_connections: HTTP_IDLE,
            user_agent: HTTP_USER_AGENT.to_owned(),
        }
    }
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failures: CIRCUIT_FAILURES, backoff: Backoff::default() }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}

impl Default for ModuleLimits {
    fn default() -> Self {
        Self {
            module_size: MODULE_SIZE,
            memory: MEMORY,
            table_elements: TABLE_ELEMENTS,
            call_timeout: CALL_TIMEOUT,
            payload: PAYLOAD,
            response: RESPONSE,
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            restart_type: RestartType::Permanent,
            intensity: INTENSITY,
            period: PERIOD,
            reset_on_success: true,
            retry_failed: Some(RETRY_FAILED),
            backoff: Backoff::default(),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: BACKOFF_INITIAL, max: BACKOFF_MAX, factor: BACKOFF_FACTOR, jitter: BACKOFF_JITTER }
    }
}

impl Module {
    /// Makes the module of a configuration that names this wasm file and nothing else.
    #[must_use]
    pub fn with_defaults(name: &str, path: impl Into<PathBuf>) -> Self {
        Self {
            name: Arc::from(name),
            declared: Declared::Configured,
            path: path.into(),
            engine: ENGINE,
            lazy: false,
            instances: Instances::Count(1),
            queue: QUEUE,
            queue_bytes: QUEUE_BYTES,
            queue_timeout: None,
            on_full: OnFull::Reject,
            rate_limit: None,
            binding_wait: BINDING_WAIT,
            shutdown: MODULE_SHUTDOWN,
            health: None,
            limits: ModuleLimits::default(),
            links: Vec::new(),
            config: Arc::new(serde_json::Value::Object(serde_json::Map::new())),
            restart: Restart::default(),
            wasi: Wasi::default(),
            swap: Swap::default(),
            on_start: None,
            on_stop: None,
        }
    }
}

impl Binding {
    /// Makes a binding that says nothing but its type's settings.
    #[must_use]
    pub fn with_defaults(name: impl Into<Arc<str>>, settings: BindingSettings) -> Self {
        Self {
            name: name.into(),
            settings,
            limits: BindingLimits::default(),
            restart: Restart::default(),
            shutdown: BINDING_SHUTDOWN,
            health: None,
        }
    }
}

impl Group {
    /// Makes the group of a configuration that names it, and does not name its members yet.
    #[must_use]
    pub fn with_defaults(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            strategy: GROUP_STRATEGY,
            members: Vec::new(),
            intensity: GROUP_INTENSITY,
            period: GROUP_PERIOD,
            retry_failed: Some(RETRY_FAILED),
            critical: false,
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self { mode: WatchMode::Auto, settle: WATCH_SETTLE, poll: WATCH_POLL, config: false }
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self { interval: HEALTH_INTERVAL, timeout: HEALTH_TIMEOUT, failures: HEALTH_FAILURES }
    }
}

/// The database file of a `keyvalue` binding of this name.
pub(super) fn redb_path(state_dir: &Path, binding: &str) -> PathBuf {
    state_dir.join(format!("{binding}.redb"))
}

/// The database file of a `sql` binding of this name.
pub(super) fn sqlite_path(state_dir: &Path, binding: &str) -> PathBuf {
    state_dir.join(format!("{binding}.sqlite"))
}

/// The directory of a `blob` binding of this name.
pub(super) fn blob_path(state_dir: &Path, binding: &str) -> PathBuf {
    state_dir.join("blobs").join(binding)
}
