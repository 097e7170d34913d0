//! A binding without a daemon: its backend as the configuration names it, and host calls to it.

use std::{
    fmt::Write,
    panic::Location,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
};
use serde_json::Value;
use tempfile::TempDir;
use wapcd::{
    bindings::{
        Answer, BackendState, BackendStatus, BindingCall, BindingContext, BindingFactory, Caller, Chain, Denial,
        ModuleCaller, Observer, payload::Blob, start_backend,
    },
    config::{Binding, BindingSettings, HttpRules, Link, Operations, Rules, Space, SqlRules},
    host::{HostCallError, HostErrorKind, LineLimit, chain},
};

/// How long anything may take that should happen soon. Only a failure takes so long.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How a request is encoded, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON.
    Json,
    /// MessagePack.
    MessagePack,
}

impl Format {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Json, Self::MessagePack];
}

/// A backend that is open; stopped when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Opened {
    backend: Arc<Backend>,
    link: Arc<Link>,
}

struct Backend {
    factory: Arc<dyn BindingFactory>,
    heard: Arc<Heard>,
    /// Where it keeps what the configuration names no place for.
    _state_dir: TempDir,
    /// What the daemon keeps as well, with the threads of connections.
    _context: BindingContext,
}

/// Opens what the binding's settings name, with a link that allows everything its type has.
#[track_caller]
pub(crate) fn open(binding: &Binding) -> Opened {
    try_open(binding).unwrap_or_else(|why| panic!("at {}: {why}", Location::caller()))
}

/// The same, and else the error with its causes.
pub(crate) fn try_open(binding: &Binding) -> Result<Opened, String> {
    let heard = Arc::new(Heard::default());
    let state_dir = tempfile::tempdir().unwrap();
    let mut context = BindingContext::new(Arc::new(NoModules));
    context.observer = Arc::clone(&heard) as Arc<dyn Observer>;
    context.state_dir = state_dir.path().to_owned();
    let factory = start_backend(binding, &context).map_err(|error| causes(&error))?;
    let backend = Arc::new(Backend { factory, heard, _state_dir: state_dir, _context: context });
    Ok(Opened { backend, link: link(binding, everything(&binding.settings)) })
}

impl Opened {
    /// The same backend over a link with these rules.
    pub(crate) fn with_rules(&self, rules: Rules) -> Self {
        let link = Link { rules, ..(*self.link).clone() };
        Self { backend: Arc::clone(&self.backend), link: Arc::new(link) }
    }

    /// Calls with JSON and reads the answer as such; an error is what the guest reads, `kind: message`.
    pub(crate) async fn call(&self, module: &str, operation: &str, request: Value) -> Result<Value, String> {
        self.ask(Format::Json, module, operation, &request).await
    }

    /// Calls with a request of any type in either format. Bytes are [`Bin`] in both.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        format: Format,
        module: &str,
        operation: &str,
        request: &impl Serialize,
    ) -> Result<A, String> {
        let answer = match format {
            Format::Json => self.raw(module, operation, serde_json::to_vec(request).unwrap()).await?,
            Format::MessagePack => self.raw(module, operation, rmp_serde::to_vec_named(request).unwrap()).await?,
        };
        Ok(match format {
            Format::Json => serde_json::from_slice(&answer)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer))),
            Format::MessagePack => {
                rmp_serde::from_slice(&answer).unwrap_or_else(|error| panic!("{error}: {answer:02x?}"))
            }
        })
    }

    /// Calls with any bytes.
    pub(crate) async fn raw(&self, module: &str, operation: &str, payload: impl Into<Bytes>) -> Result<Bytes, String> {
        let deadline = Instant::now() + SOON;
        let call = BindingCall {
            caller: Caller {
                module: module.into(),
                instance: 7,
                generation: 1,
                call: 42,
                deadline,
                chain: Chain::default(),
                lines: LineLimit::default(),
            },
            namespace: String::new(),
            operation: operation.into(),
            payload: payload.into(),
            link: Arc::clone(&self.link),
        };
        let reply = match self.backend.factory.make(0).call(call) {
            Answer::Now(reply) => reply,
            Answer::Later(reply) => tokio::time::timeout_at(deadline.into(), reply)
                .await
                .unwrap_or_else(|_| panic!("`{operation}` gets no answer within {} s", SOON.as_secs())),
        };
        // As a guest reads it, with the causes.
        reply.map_err(|error| chain(&error))
    }

    /// What is behind it.
    pub(crate) fn factory(&self) -> &Arc<dyn BindingFactory> {
        &self.backend.factory
    }

    /// How it stands with the server.
    pub(crate) fn status(&self) -> BackendStatus {
        self.backend.factory.backend().unwrap()
    }

    /// The changes of the server's state that were told.
    pub(crate) fn changes(&self) -> Vec<BackendState> {
        self.backend.heard.0.lock().clone()
    }

    /// Waits until the server is in this state.
    pub(crate) async fn until(&self, state: BackendState) {
        let start = Instant::now();
        while self.status().state != state {
            assert!(start.elapsed() < SOON, "it does not become {}: {:?}", state.as_str(), self.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks whether the backend is well.
    pub(crate) async fn check(&self) -> Result<(), String> {
        self.backend.factory.check().unwrap().await
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let factory = Arc::clone(&self.factory);
        // It may block, and a test may be a task of a runtime.
        let stopped = std::thread::spawn(move || factory.stop()).join();
        assert!(stopped.is_ok() || std::thread::panicking(), "stop() panics");
    }
}

/// The changes that a backend tells.
#[derive(Default)]
struct Heard(Mutex<Vec<BackendState>>);

impl Observer for Heard {
    fn backend_changed(&self, _: &Arc<str>, now: &BackendStatus) {
        self.0.lock().push(now.state);
    }

    fn module_removed(&self, _: &str) {}

    fn denied(&self, _: Denial<'_>) {}
}

struct NoModules;

impl ModuleCaller for NoModules {
    fn call(&self, call: BindingCall) -> Answer {
        let message = format!("there is no module `{}`", call.namespace);
        Answer::Now(Err(HostCallError::new(HostErrorKind::NotFound, message)))
    }
}

fn link(binding: &Binding, rules: Rules) -> Arc<Link> {
    Arc::new(Link {
        binding: "default".into(),
        namespace: None,
        to: Arc::clone(&binding.name),
        operations: Operations::All,
        required: false,
        rules,
    })
}

/// Rules that restrict nothing, and keep modules apart.
fn everything(settings: &BindingSettings) -> Rules {
    match settings {
        BindingSettings::KeyValue(_) | BindingSettings::Blob(_) => Rules::Space(Space::Own),
        BindingSettings::Sql(_) => Rules::Sql(SqlRules::default()),
        BindingSettings::Messaging(_) => Rules::Topics(Vec::new()),
        BindingSettings::HttpClient(_) => Rules::Http(HttpRules {
            hosts: vec!["*".parse().unwrap()],
            methods: None,
            addresses: vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
        }),
        BindingSettings::Secret(settings) => Rules::Secrets(settings.secrets.keys().cloned().collect()),
        BindingSettings::Config => Rules::Config(Arc::new(Value::Object(serde_json::Map::new()))),
        _ => Rules::None,
    }
}

/// An error with its causes, as it is logged.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        write!(text, ": {cause}").unwrap();
        next = cause.source();
    }
    text
}

/// Bytes in a request or an answer: binary in MessagePack, base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bin(pub(crate) Vec<u8>);

impl Serialize for Bin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Blob::from(&*self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(BinVisitor)
        } else {
            deserializer.deserialize_bytes(BinVisitor)
        }
    }
}

struct BinVisitor;

impl de::Visitor<'_> for BinVisitor {
    type Value = Bin;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bin, E> {
        STANDARD.decode(text).map(Bin).map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bin, E> {
        Ok(Bin(bytes.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wapcd::config::{KeyValueBackend, KeyValueSettings};

    use super::*;

    #[derive(Debug, Serialize)]
    struct Set {
        key: &'static str,
        value: Bin,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Got {
        value: Option<Bin>,
    }

    #[actix::test]
    async fn an_opened_binding_answers_in_both_formats_and_keeps_modules_apart() {
        let backend = KeyValueBackend::Memory { max_bytes: 4096 };
        let settings = BindingSettings::KeyValue(KeyValueSettings { backend, max_key: 64, max_value: 64 });
        let opened = open(&Binding::with_defaults("cache", settings));
        for format in Format::ALL {
            let value = Bin(vec![0, 255]);
            let _: Value = opened.ask(format, "a", "set", &Set { key: "k", value: value.clone() }).await.unwrap();
            let got: Got = opened.ask(format, "a", "get", &json!({"key": "k"})).await.unwrap();
            assert_eq!(got, Got { value: Some(value) });
        }
        assert_eq!(opened.call("b", "exists", json!({"key": "k"})).await, Ok(json!({"exists": false})));
        let error = opened.call("a", "get", json!({})).await.unwrap_err();
        assert!(error.starts_with("bad_request: "), "{error}");
        let shared = opened.with_rules(Rules::Space(Space::Shared));
        assert_eq!(shared.call("a", "exists", json!({"key": "k"})).await, Ok(json!({"exists": false})));
    }
}
