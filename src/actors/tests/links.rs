//! Links that change while a guest is at work.

use actix::ResponseFuture;

use super::*;
use crate::{
    bindings::{BindingCall, BindingReply},
    config::{Link, Operations},
    host::CallError,
};

/// Calls binding `b` twice, the first time with success or it traps, and answers as the second call was answered.
pub(super) const TWICE: &str = r#"(module
    (import "wapc" "__guest_response" (func $response (param i32 i32)))
    (import "wapc" "__guest_error" (func $error (param i32 i32)))
    (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wapc" "__host_error_len" (func $error_len (result i32)))
    (import "wapc" "__host_error" (func $host_error (param i32)))
    (import "wapc" "__host_response_len" (func $response_len (result i32)))
    (import "wapc" "__host_response" (func $host_response (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "b")
    (func $ask (result i32)
        (call $host_call (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0)))
    (func (export "__guest_call") (param i32 i32) (result i32)
        (if (i32.eqz (call $ask)) (then unreachable))
        (if (call $ask) (then
            (call $host_response (i32.const 1024))
            (call $response (i32.const 1024) (call $response_len))
            (return (i32.const 1))))
        (call $host_error (i32.const 1024))
        (call $error (i32.const 1024) (call $error_len))
        (i32.const 0)))"#;

/// A binding that answers with its name, once the test lets it.
struct Named(&'static str, Arc<Semaphore>, mpsc::Sender<()>);

impl Actor for Named {
    type Context = Context<Self>;
}

impl Handler<BindingCall> for Named {
    type Result = ResponseFuture<BindingReply>;

    fn handle(&mut self, _: BindingCall, _: &mut Context<Self>) -> Self::Result {
        let (name, gate, asked) = (self.0, Arc::clone(&self.1), self.2.clone());
        Box::pin(async move {
            asked.send(()).await.unwrap();
            gate.acquire().await.unwrap().forget();
            Ok(Bytes::from_static(name.as_bytes()))
        })
    }
}

type Route = (Arc<Link>, Recipient<BindingCall>);

/// A guest with its links, and the binding that its calls wait for.
struct Guest {
    host: WapcHostAsync,
    links: Arc<Links>,
    route: Route,
    gate: Arc<Semaphore>,
    asked: mpsc::Receiver<()>,
}

pub(super) fn link(namespace: Option<&str>) -> Arc<Link> {
    let namespace = namespace.map(str::to_owned);
    Arc::new(Link {
        binding: "b".to_owned(),
        namespace,
        to: "it".into(),
        operations: Operations::All,
        required: false,
        rules: crate::config::Rules::None,
    })
}

impl Guest {
    async fn start() -> Self {
        let (gate, (asks, asked)) = (Arc::new(Semaphore::new(0)), mpsc::channel(8));
        let route = (link(None), Named("old", Arc::clone(&gate), asks).start().recipient());
        let links = Links::new([route.clone()], "twice".into(), 1, 1, std::sync::Arc::new(crate::bindings::Deaf));
        links.begin_start(Instant::now() + SOON);
        let settings = EngineSettings { instances: 1, ..EngineSettings::default() };
        let module = WasmtimeEngine::new(settings).unwrap().compile(&wat::parse_str(TWICE).unwrap()).unwrap();
        let provider = Box::new(module.provider(WasiParams::default()));
        let host = WapcHostAsync::new(provider, Some(links.callback())).await.unwrap();
        Self { host, links, route, gate, asked }
    }

    /// Calls the guest and does something while its first host call is under way.
    async fn call(&mut self, meanwhile: impl FnOnce(&Arc<Links>)) -> Result<Bytes, CallError> {
        let Self { host, links, gate, asked, .. } = self;
        let changed = async {
            asked.recv().await.unwrap();
            meanwhile(links);
            gate.add_permits(2);
        };
        let called = timeout(SOON, host.call("any", ""));
        let (outcome, ()) = tokio::join!(called, changed);
        outcome.unwrap()
    }
}

#[actix::test]
async fn a_link_that_is_revoked_within_a_guest_call_ends_the_host_call_under_way_and_refuses_the_next() {
    let mut guest = Guest::start().await;
    let outcome = guest.call(|links| {
        let links = Arc::clone(links);
        std::thread::spawn(move || links.set([])).join().unwrap();
    });
    match outcome.await {
        Err(CallError::Guest(text)) => assert!(text.starts_with("not_granted: the module has no link"), "{text}"),
        other => panic!("{other:?}"),
    }
    guest.links.set([guest.route.clone()]);
    assert_eq!(guest.call(|_| ()).await.unwrap(), "old", "granted again, to the same instance");
}

#[actix::test]
async fn a_link_that_is_granted_within_a_guest_call_is_found_by_the_next_host_call() {
    let mut guest = Guest::start().await;
    let (gate, (asks, _asked)) = (Arc::new(Semaphore::new(1)), mpsc::channel(8));
    let narrow = (link(Some("b")), Named("new", gate, asks).start().recipient());
    let old = guest.route.clone();
    assert_eq!(guest.call(move |links| links.set([old, narrow])).await.unwrap(), "new");
}
