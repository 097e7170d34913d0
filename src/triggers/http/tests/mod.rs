//! Routes with a real guest and without sockets: requests as values, answers as values.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bodies;
mod calls;
mod credentials;
mod origins;
mod paths;
mod whole;

use std::{path::Path, sync::Arc, time::Duration};

use actix::{Actor, Context, Handler};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Body, http::request::Builder};

use super::answer::{Peer, Site};
use crate::{
    actors::{
        Gate, Guest, GuestActor, InstanceExited, InstanceFacts, InstanceParts, Links, ModuleQueue, Modules,
        QueueBudget, QueueSettings,
    },
    bindings::Deaf,
    config::{Config, Environment, HttpSettings, OnFull, TriggerSettings, parse},
    host::{EngineSettings, HostOptions, Limits, WapcHostAsync, WasiParams, WasmtimeEngine},
    triggers::{Caller, Detail, TriggerError, TriggerFacts},
};

/// The guest that the daemon's tests call by routes as well.
const WEB: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/triggers/web.wat"));

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// Hears what an instance says to its supervisor, and does nothing.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<InstanceExited> for Nobody {
    type Result = ();

    fn handle(&mut self, _exit: InstanceExited, _: &mut Context<Self>) {}
}

/// A module `web` with one instance, and a site that calls it.
struct Bench {
    site: Site,
    caller: Caller,
    queue: Arc<ModuleQueue>,
}

/// The settings of the trigger `api` with these keys and tables.
pub(super) fn settings(toml: &str) -> HttpSettings {
    let text = format!(
        "[modules.web]\npath = \"web.wasm\"\n[triggers.api]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n{toml}"
    );
    let config: Config = parse(&text, Path::new("/etc/wapcd/wapcd.toml"), &Environment::default()).unwrap();
    match config.triggers.into_iter().next().unwrap().settings {
        TriggerSettings::Http(settings) => settings,
        other => panic!("{other:?}"),
    }
}

pub(super) fn site(toml: &str) -> Result<Site, TriggerError> {
    Site::new(&Arc::from("api"), &settings(toml), None)
}

/// One route at `/` that calls the operation of the module `web`, with more keys.
fn route(operation: &str, keys: &str) -> String {
    format!("[[triggers.api.routes]]\npath = \"/\"\nmodule = \"web\"\noperation = \"{operation}\"\n{keys}\n")
}

impl Bench {
    /// With an instance that takes calls.
    async fn new(toml: &str) -> Self {
        let bench = Self::idle(toml);
        start(&bench.queue).await;
        bench
    }

    /// Without one: calls wait.
    fn idle(toml: &str) -> Self {
        let queue_settings = QueueSettings {
            calls: 1,
            bytes: 1 << 20,
            timeout: None,
            on_full: OnFull::Reject,
            rate: None,
            call_timeout: SOON,
            payload: 1 << 16,
        };
        let budget = Arc::new(QueueBudget::new(1 << 20));
        let queue = Arc::new(ModuleQueue::new("web".into(), queue_settings, Gate::Open, budget, Arc::default(), || ()));
        let modules = Modules::default();
        assert!(modules.insert(Arc::clone(&queue)).is_none());
        let caller = Caller::new(&Arc::from("api"), modules);
        Self { site: site(toml).unwrap(), caller, queue }
    }

    async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<crate::host::BoxError>,
    {
        let peer = Peer { address: Some("192.0.2.1:4711".parse().unwrap()), secure: false };
        Answer::of(self.site.answer(request, &peer, &self.caller, |_| true).await).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(empty(request("GET", path))).await
    }

    async fn post(&self, path: &str, body: &'static str) -> Answer {
        self.send(request("POST", path).body(Full::from(body)).unwrap()).await
    }

    fn facts(&self) -> TriggerFacts {
        let detail = Detail::Http { listeners: Vec::new(), connections: 0, connections_refused: 0, responses: [0; 5] };
        self.caller.facts(detail)
    }
}

async fn start(queue: &Arc<ModuleQueue>) {
    let engine = EngineSettings { instances: 1, ..EngineSettings::default() };
    let module = WasmtimeEngine::new(engine).unwrap().compile(&wat::parse_str(WEB).unwrap()).unwrap();
    let links = Links::new([], "web".into(), 1, 1, Arc::new(Deaf));
    let options =
        HostOptions { limits: Limits { deadline: Some(SOON), ..Limits::default() }, ..HostOptions::default() };
    let provider = Box::new(module.provider(WasiParams::default()));
    let host = WapcHostAsync::with_options(provider, None, options).await.unwrap();
    let parts = InstanceParts {
        guest: Guest { host, links, generation: 3 },
        queue: Arc::clone(queue),
        supervisor: Nobody.start().recipient(),
        facts: Arc::new(InstanceFacts::default()),
        module: 0,
        slot: 0,
        instance: 7,
        worker: 0,
    };
    GuestActor::new(parts).start();
    tokio::time::timeout(SOON, async {
        while queue.numbers().idle == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

fn request(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path).header("host", "example.com")
}

fn empty(request: Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).unwrap()
}

/// An answer with its body.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn of(response: Response<Full<Bytes>>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Self { status: head.status.as_u16(), headers: head.headers, body };
        assert!(answer.header("wapcd-call-id").parse::<u64>().unwrap() > 0, "{answer:?}");
        answer
    }

    /// The header; an empty text where there is none, and with a comma where there are several.
    fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(", ")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The last part of the problem's type with the status.
    fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        (self.status, problem["type"].as_str().unwrap().strip_prefix("urn:wapcd:error:").unwrap().to_owned())
    }
}
