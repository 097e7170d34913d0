//! What a guest call costs through its actor, beside a bare actix message on the same thread.
//!
//! Caller, instance and binding share one worker, as wapcd places them: a thread of the daemon's own kind, since a call from any
//! other is a message.

mod harness;
mod parts;

use std::{convert::Infallible, process::ExitCode, sync::Arc, time::Duration};

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message, SystemRunner};
use bytes::Bytes;
use harness::{Contender, Failure, Report, Stopwatch, race};
use tokio::sync::oneshot;
use wapcd::{
    actors::{ModuleQueue, WorkerEnded, Workers},
    bindings::{Answer, Binding, BindingCall, BindingFactory, Turnstile},
    config::{BindingLimits, Rules},
    host::{EngineSettings, WasmtimeEngine},
};

/// What the design aims at on an idle machine: nanoseconds of a call, and of a call with one host call in it.
const CALL: f64 = 1_000.0;
const CALL_WITH_HOST_CALL: f64 = 2_000.0;

fn main() -> Result<ExitCode, Failure> {
    let system = actix::System::new();
    let guest = wat::parse_str(include_str!("guests/actors.wat"))?;
    let workers = system.block_on(async { Workers::start(1, Nobody.start().recipient()) });
    let worker = workers.handle(0).ok_or("no worker")?;
    let echo = on(&system, &worker, async { Ok(Echo.start()) })?;
    let queue = on(&system, &worker, async move { start(&guest).await })?;
    let payload = Bytes::from(vec![1; 1024]);
    let guest_call = |operation: &'static str| {
        let (queue, payload, system, worker) = (Arc::clone(&queue), payload.clone(), &system, &worker);
        move |calls| {
            let (queue, payload) = (Arc::clone(&queue), payload.clone());
            timed(system, worker, calls, move || call(Arc::clone(&queue), operation, payload.clone()))
        }
    };
    let laps = race(vec![
        Contender::timed("guest call", guest_call("echo")),
        Contender::timed("bare message", |calls| {
            let (echo, payload) = (echo.clone(), payload.clone());
            timed(&system, &worker, calls, move || message(echo.clone(), payload.clone()))
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

/// Does something in a task of the worker, as a connection or an instance is one.
fn on<T: Send + 'static>(
    system: &SystemRunner,
    worker: &ArbiterHandle,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    // Whoever asks waits for it.
    worker.spawn(async move { drop(done.send(work.await)) });
    system.block_on(result)?
}

/// Runs so many calls one after the other in a task of the worker.
fn timed<F>(
    system: &SystemRunner,
    worker: &ArbiterHandle,
    calls: u32,
    call: impl Fn() -> F + Send + 'static,
) -> Result<Duration, Failure>
where
    F: Future<Output = Result<Bytes, Failure>> + Send,
{
    on(system, worker, async move {
        let started = Stopwatch::start();
        for _ in 0..calls {
            call().await?;
        }
        Ok(started.elapsed())
    })
}

async fn call(queue: Arc<ModuleQueue>, operation: &str, payload: Bytes) -> Result<Bytes, Failure> {
    Ok(queue.call(parts::request(operation, payload), None).await.outcome?)
}

async fn message(echo: Addr<Echo>, payload: Bytes) -> Result<Bytes, Failure> {
    Ok(echo.send(Ping(payload)).await??)
}

/// Starts a guest with a link to an echoing binding, all on the current thread.
async fn start(guest: &[u8]) -> Result<Arc<ModuleQueue>, Failure> {
    let queue = parts::queue("echo");
    let binding = parts::binding(&[], Arc::new(EchoFactory), Turnstile::open(BindingLimits::default())).await?;
    let code = WasmtimeEngine::new(EngineSettings::default())?.compile(guest)?;
    parts::instance(&code, &queue, [(parts::link("test", Rules::None), binding)]).await?;
    Ok(queue)
}

/// A supervisor of workers that end with the benchmark.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<WorkerEnded> for Nobody {
    type Result = ();

    fn handle(&mut self, _: WorkerEnded, _: &mut Self::Context) {}
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
