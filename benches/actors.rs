//! What a guest call costs through its actor, beside a bare actix message on the same thread.
//!
//! Caller, instance and binding share one worker, as wapcd places them.

mod harness;

use std::{
    convert::Infallible,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, Context, Handler, Message, Recipient, SystemRunner};
use bytes::Bytes;
use harness::{Contender, Failure, Report, Stopwatch, race};
use wapcd::{
    actors::{
        CallRequest, Gate, Guest, GuestActor, InstanceExited, InstanceParts, Links, ModuleQueue, Origin, QueueBudget,
        QueueSettings,
    },
    bindings::{
        Answer, Binding, BindingActor, BindingCall, BindingCounters, BindingExited, BindingFactory, Chain, Deaf,
        Turnstile, actor::Serve,
    },
    config::{BindingLimits, Link, OnFull, Operations, Rules},
    host::{EngineSettings, HostOptions, Limits, WapcHostAsync, WasiParams, WasmtimeEngine},
};

/// What the design aims at on an idle machine: nanoseconds of a call, and of a call with one host call in it.
const CALL: f64 = 1_000.0;
const CALL_WITH_HOST_CALL: f64 = 2_000.0;

fn main() -> Result<ExitCode, Failure> {
    let system = actix::System::new();
    let guest = wat::parse_str(include_str!("guests/actors.wat"))?;
    let echo = system.block_on(async { Echo.start() });
    let queue = system.block_on(start(&guest))?;
    let payload = Bytes::from(vec![1; 1024]);
    let guest_call = |operation: &'static str| {
        let (queue, payload, system) = (Arc::clone(&queue), payload.clone(), &system);
        move |calls| {
            let (queue, payload) = (Arc::clone(&queue), payload.clone());
            timed(system, calls, move || call(Arc::clone(&queue), operation, payload.clone()))
        }
    };
    let laps = race(vec![
        Contender::timed("guest call", guest_call("echo")),
        Contender::timed("bare message", |calls| {
            let (echo, payload) = (echo.clone(), payload.clone());
            timed(&system, calls, move || message(echo.clone(), payload.clone()))
        }),
        Contender::timed("with a host call", guest_call("host_echo")),
    ])?;
    let mut report = Report::new("A guest call of 1 KiB through its actor, on the caller's worker");
    if let [guest_call, bare, with_host_call] = laps.as_slice() {
        report.note("bare actix message and reply", bare.median(), "ns");
        report.bound("guest call", guest_call.median(), CALL, "ns");
        report.note("guest call / bare message", guest_call.ratio_to(bare).median, "");
        report.bound("guest call with one host call", with_host_call.median(), CALL_WITH_HOST_CALL, "ns");
        report.note("guest call with one host call / bare message", with_host_call.ratio_to(bare).median, "");
    }
    Ok(report.finish())
}

/// Runs so many calls one after the other in a task of the system's thread, as a connection or an instance is one: a
/// task of its own is woken without a look at sockets and timers in between.
fn timed<F>(system: &SystemRunner, calls: u32, call: impl Fn() -> F + 'static) -> Result<Duration, Failure>
where
    F: Future<Output = Result<Bytes, Failure>>,
{
    system.block_on(async {
        let measured = actix::spawn(async move {
            let started = Stopwatch::start();
            for _ in 0..calls {
                call().await?;
            }
            Ok(started.elapsed())
        });
        measured.await?
    })
}

async fn call(queue: Arc<ModuleQueue>, operation: &str, payload: Bytes) -> Result<Bytes, Failure> {
    let request = CallRequest {
        operation: operation.to_owned(),
        payload,
        deadline: None,
        origin: Origin::Control,
        chain: Chain::default(),
    };
    Ok(queue.call(request, None).await.outcome?)
}

async fn message(echo: Addr<Echo>, payload: Bytes) -> Result<Bytes, Failure> {
    Ok(echo.send(Ping(payload)).await??)
}

/// Starts a guest with a link to an echoing binding, all on the current thread.
async fn start(guest: &[u8]) -> Result<Arc<ModuleQueue>, Failure> {
    let settings = QueueSettings {
        calls: 16,
        bytes: 1 << 20,
        timeout: None,
        on_full: OnFull::Reject,
        rate: None,
        call_timeout: Duration::from_secs(5),
        payload: 1 << 20,
    };
    let name: Arc<str> = "echo".into();
    let budget = Arc::new(QueueBudget::new(1 << 20));
    let queue = Arc::new(ModuleQueue::new(Arc::clone(&name), settings, Gate::Open, budget, || ()));
    let counters = Arc::new(BindingCounters::default());
    let exits: Recipient<BindingExited> = Nobody.start().recipient();
    let binding = BindingActor::new(0, "test".into(), 0, counters, exits, Arc::new(Deaf)).start();
    binding
        .send(Serve { backend: Arc::new(EchoFactory), turnstile: Turnstile::open(BindingLimits::default()) })
        .await?;
    let link = Link {
        binding: "test".to_owned(),
        namespace: None,
        to: "test".into(),
        operations: Operations::All,
        required: false,
        rules: Rules::None,
    };
    let links = Links::new([(Arc::new(link), binding.recipient())], Arc::clone(&name), 1, 1, Arc::new(Deaf));
    links.begin_start(Instant::now() + Duration::from_secs(5));
    let module = WasmtimeEngine::new(EngineSettings::default())?.compile(guest)?;
    let limits = Limits { deadline: Some(Duration::from_secs(5)), ..Limits::default() };
    let provider = Box::new(module.provider(WasiParams::default()));
    let options = HostOptions { limits, ..HostOptions::default() };
    let host = WapcHostAsync::with_options(provider, Some(links.callback()), options).await?;
    let supervisor: Recipient<InstanceExited> = Nobody.start().recipient();
    let parts = InstanceParts {
        guest: Guest { host, links, generation: 1 },
        queue: Arc::clone(&queue),
        supervisor,
        facts: Arc::default(),
        module: 0,
        slot: 0,
        instance: 1,
        worker: 0,
    };
    GuestActor::new(parts).start();
    Ok(queue)
}

/// The bare layer below: an actor that answers with what it gets.
struct Echo;

#[derive(Message)]
#[rtype(result = "Result<Bytes, Infallible>")]
struct Ping(Bytes);

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<Ping> for Echo {
    type Result = Result<Bytes, Infallible>;

    fn handle(&mut self, Ping(payload): Ping, _: &mut Self::Context) -> Self::Result {
        Ok(payload)
    }
}

/// A supervisor for an instance that never ends.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<InstanceExited> for Nobody {
    type Result = ();

    fn handle(&mut self, _: InstanceExited, _: &mut Self::Context) {}
}

impl Handler<BindingExited> for Nobody {
    type Result = ();

    fn handle(&mut self, _: BindingExited, _: &mut Self::Context) {}
}

/// A binding that answers with its payload.
struct EchoBinding;
struct EchoFactory;

impl Binding for EchoBinding {
    fn call(&self, call: BindingCall) -> Answer {
        Answer::Now(Ok(call.payload))
    }
}

impl BindingFactory for EchoFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(EchoBinding)
    }
}
