//! `[bindings.NAME]`: types, their settings, and what all of them have.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use super::{HealthCheck, Restart, SecretSource, Server, Shutdown, TlsFiles};

/// One `[bindings.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Its name.
    pub name: Arc<str>,
    /// Its type and what that type takes.
    pub settings: BindingSettings,
    /// How much it does at once.
    pub limits: BindingLimits,
    /// How it is restarted.
    pub restart: Restart,
    /// How long its backend may take to end.
    pub shutdown: Shutdown,
    /// When its backend is asked whether it is well; `None`: not at all.
    pub health: Option<HealthCheck>,
}

/// `[bindings.NAME.limits]`: how much a binding does at once, over all workers.
#[derive(Debug, Clone, PartialEq)]
pub struct BindingLimits {
    /// Host calls that its backend has at once.
    pub concurrent: u32,
    /// Host calls that wait for that; beyond it those of the module with the most are refused.
    pub queue: u32,
    /// How long a host call may take, waiting included; `None`: as long as its guest call.
    pub timeout: Option<Duration>,
    /// Bytes of a request.
    pub max_request: u64,
    /// Bytes of a response.
    pub max_response: u64,
}

/// A binding's type with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum BindingSettings {
    /// `log`: no settings.
    Log,
    /// `module`: no settings.
    Module,
    /// `config`: no settings.
    Config,
    /// `system`: no settings.
    System,
    /// `metrics`.
    Metrics(MetricsSettings),
    /// `secret`.
    Secret(SecretSettings),
    /// `keyvalue`.
    KeyValue(KeyValueSettings),
    /// `blob`.
    Blob(BlobSettings),
    /// `sql`.
    Sql(SqlSettings),
    /// `messaging`.
    Messaging(MessagingSettings),
    /// `http_client`.
    HttpClient(HttpClientSettings),
    /// `process`.
    Process(ProcessSettings),
    /// `faulty`, for tests: no settings.
    #[cfg(feature = "fault-injection")]
    Faulty,
}

impl BindingSettings {
    /// Whether there is a backend that can fail, be restarted and be stopped; the others only pass calls on.
    #[must_use]
    pub fn has_backend(&self) -> bool {
        !matches!(self, Self::Log | Self::Module | Self::Config | Self::System | Self::Metrics(_))
    }

    /// Whether the backend can be asked whether it is well.
    #[must_use]
    pub fn can_be_asked(&self) -> bool {
        match self {
            // What is in memory is well as long as the process is.
            Self::KeyValue(settings) => !matches!(settings.backend, KeyValueBackend::Memory { .. }),
            Self::Blob(settings) => !matches!(settings.backend, BlobBackend::Memory { .. }),
            Self::Messaging(settings) => !matches!(settings.backend, MessagingBackend::Local),
            Self::Secret(_) | Self::HttpClient(_) => false,
            _ => self.has_backend(),
        }
    }

    /// The server behind it, where there is one.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::KeyValue(settings) => match &settings.backend {
                KeyValueBackend::Redis { server, .. } | KeyValueBackend::Nats { server, .. } => Some(server),
                KeyValueBackend::Redb { .. } | KeyValueBackend::Memory { .. } => None,
            },
            Self::Blob(settings) => match &settings.backend {
                BlobBackend::S3 { server, .. } => Some(server),
                BlobBackend::Directory { .. } | BlobBackend::Memory { .. } => None,
            },
            Self::Sql(settings) => match &settings.backend {
                SqlBackend::Postgres { server } => Some(server),
                SqlBackend::Sqlite { .. } => None,
            },
            Self::Messaging(settings) => match &settings.backend {
                MessagingBackend::Nats { server, .. } => Some(server),
                MessagingBackend::Local => None,
            },
            _ => None,
        }
    }

    /// The type's name in the configuration.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Module => "module",
            Self::Config => "config",
            Self::System => "system",
            Self::Metrics(_) => "metrics",
            Self::Secret(_) => "secret",
            Self::KeyValue(_) => "keyvalue",
            Self::Blob(_) => "blob",
            Self::Sql(_) => "sql",
            Self::Messaging(_) => "messaging",
            Self::HttpClient(_) => "http_client",
            Self::Process(_) => "process",
            #[cfg(feature = "fault-injection")]
            Self::Faulty => "faulty",
        }
    }
}

/// Settings of a `metrics` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSettings {
    /// Series that one module may make.
    pub max_series: u32,
}

/// Settings of a `secret` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretSettings {
    /// Where the secret of each name is.
    pub secrets: BTreeMap<String, SecretSource>,
}

/// Settings of a `keyvalue` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyValueSettings {
    /// Where values are kept.
    pub backend: KeyValueBackend,
    /// Bytes of one key.
    pub max_key: u64,
    /// Bytes of one value.
    pub max_value: u64,
}

/// Where a `keyvalue` binding keeps its values.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyValueBackend {
    /// In the daemon's memory, gone at a stop; at most so many bytes of keys and values.
    Memory {
        /// Bytes of keys and values together.
        max_bytes: u64,
    },
    /// In a redb database file; absolute path.
    Redb {
        /// The file.
        path: PathBuf,
        /// When a write is answered.
        durability: Durability,
        /// Bytes of what was read or written lately that are kept in memory as well; none turns that off.
        cache: u64,
    },
    /// In a Redis server, in keys that begin with `prefix`.
    Redis {
        /// The server.
        server: Server,
        /// What stands before every key of this binding.
        prefix: String,
    },
    /// In a key-value bucket of JetStream.
    Nats {
        /// The server.
        server: Server,
        /// The bucket, which is made where it is missing.
        bucket: String,
    },
}

/// When a write to an embedded database is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk.
    Immediate,
    /// When it is made; the last moments before a crash or a power cut may be lost, in their order.
    Eventual,
}

/// Settings of a `blob` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct BlobSettings {
    /// Where objects are kept.
    pub backend: BlobBackend,
    /// Bytes of one object.
    pub max_object: u64,
}

/// Where a `blob` binding keeps its objects.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each binding")]
pub enum BlobBackend {
    /// In a directory; absolute path.
    Directory {
        /// The directory, which is made where it is missing.
        path: PathBuf,
    },
    /// In the daemon's memory, gone at a stop.
    Memory {
        /// Bytes of names and objects together.
        max_bytes: u64,
    },
    /// In a bucket of an S3-compatible store.
    S3 {
        /// The store: `user` is the access key's id, `password` the secret access key.
        server: Server,
        /// The bucket, which must exist.
        bucket: String,
        /// The store's region.
        region: String,
        /// What stands before the names of all objects of this binding.
        prefix: String,
    },
}

/// Settings of a `sql` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlSettings {
    /// The database.
    pub backend: SqlBackend,
    /// Rows in one answer.
    pub max_rows: u32,
}

/// The database of a `sql` binding.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlBackend {
    /// A SQLite database file; absolute path.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// When a change is answered.
        durability: Durability,
        /// How long a statement may wait for a lock of another process.
        busy_timeout: Duration,
    },
    /// A PostgreSQL database.
    Postgres {
        /// The server, its URL naming the database.
        server: Server,
    },
}

/// Settings of a `messaging` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagingSettings {
    /// Who carries the messages.
    pub backend: MessagingBackend,
    /// Messages that wait for one subscriber.
    pub queue: u32,
    /// Bytes of them; a message before which nothing waits has room all the same.
    pub queue_bytes: u64,
    /// Bytes of one message.
    pub max_message: u64,
}

/// Who carries the messages of a `messaging` binding.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each binding")]
pub enum MessagingBackend {
    /// The daemon, to subscribers inside it.
    Local,
    /// A NATS server.
    Nats {
        /// The server.
        server: Server,
        /// Whether `publish` waits until a JetStream stream has stored the message.
        jetstream: bool,
    },
}

/// Settings of a `http_client` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpClientSettings {
    /// How connections are secured.
    pub tls: TlsFiles,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Redirects that are followed.
    pub max_redirects: u32,
    /// Bytes of a response's body.
    pub max_body: u64,
    /// Requests that one host has at once; as many more wait.
    pub connections_per_host: u32,
    /// Idle connections that are kept for each host.
    pub idle_connections: u32,
    /// What is sent as `User-Agent` where the guest sends none.
    pub user_agent: String,
}

/// Settings of a `process` binding.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSettings {
    /// The program, an absolute path or a name on the path.
    pub command: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, and nothing else but `PATH`.
    pub env: BTreeMap<String, String>,
    /// Its working directory; `None`: the state directory.
    pub directory: Option<PathBuf>,
    /// How long it may take from its start to its first answer, to `hello`.
    pub start_timeout: Duration,
}
