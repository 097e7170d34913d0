//! wapcd: arguments → configuration → run → exit code.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser as _;
use wapcd::{
    command::{
        self, Exit,
        daemon::{Arguments, Call, Command, Configured, Engine, Run},
    },
    config::{self, Config, ConfigErrors, EngineKind, Environment, LogFormat, LogLevel, Logging},
    control::{ControlServerError, ControlSocket, Server, Settings, SocketError, page},
    daemon::{self, Controlled},
    host::{self, CallError},
    logging,
    service::{self, Service},
    signals::{Signal, Signals},
    single_call::{self, SingleCallError},
    supervisor::{self, EndReason, StartError, SupervisorHandle, Surroundings},
    triggers::{Sockets, raise_descriptor_limit},
};

/// How long control requests may take to finish after the last guest has: their answers only have to be read.
const CONTROL_GRACE: Duration = Duration::from_secs(3);

/// Why the command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Configuration(#[from] ConfigErrors),
    #[error(transparent)]
    Modules(#[from] daemon::Problems),
    #[error(transparent)]
    Logging(#[from] logging::LoggingError),
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Ended(EndReason),
    #[error("cannot start the daemon")]
    Start(#[from] StartError),
    #[error(transparent)]
    Control(#[from] ControlServerError),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot read the payload from standard input")]
    Payload(#[source] io::Error),
    #[error(transparent)]
    Call(#[from] SingleCallError),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

fn main() -> ExitCode {
    // Before anything opens a descriptor that could be taken for one of them.
    let sockets = Sockets::inherit();
    let done = match Arguments::try_parse() {
        Ok(Arguments { command: Command::Run(arguments) }) => run(arguments, sockets),
        Ok(Arguments { command: Command::Check(configured) }) => check(configured),
        Ok(Arguments { command: Command::Call(arguments) }) => call(arguments),
        Err(error) => return command::usage(&error).into(),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(Failure::Output(error)) => command::cannot_write("wapcd", &error),
        Err(failure) => {
            command::complain(&format!("wapcd: {}", page::lines(&host::chain(&failure))));
            if let Failure::Call(SingleCallError::Call(CallError::Exit(exit))) = &failure {
                exit.backtrace()
                    .iter()
                    .for_each(|frame| command::complain(&format!("  at {}", page::lines(&frame.to_string()))));
            }
            if matches!(failure, Failure::Configuration(_) | Failure::Modules(_) | Failure::Start(_)) {
                Exit::Configuration
            } else {
                Exit::Failed
            }
        }
    }
    .into()
}

fn run(arguments: Run, sockets: Sockets) -> Result<(), Failure> {
    let service = Service::from_process();
    let done = run_for(&service, arguments, sockets);
    if let Err(failure) = &done {
        service.failed(&host::chain(failure));
    }
    done
}

fn run_for(service: &Service, arguments: Run, sockets: Sockets) -> Result<(), Failure> {
    let environment = Environment { engine: arguments.engine.map(kind), ..Environment::from_process() };
    let config = config::load(&arguments.configured.path(), &environment)?;
    let logs = logging::start(&config.logging)?;
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "cannot have as many descriptors as the process may");
    }
    let levels = logs.levels();
    service::guard();
    let sockets = service.keep(sockets);
    let (set_level, on_reload) = (Box::new(move |level| levels.set(level)), service.on_reload());
    let surroundings = Surroundings { environment, set_level, sockets, on_reload };
    let system = actix::System::new();
    let done = system.block_on(serve(config, surroundings, service));
    // Dropping it would wait for threads that are still closing what did not close in its time: they end with the process.
    std::mem::forget(system);
    done
}

/// The life of the daemon. The socket comes first, because it tells whether another daemon is at work here.
async fn serve(config: Config, surroundings: Surroundings, service: &Service) -> Result<(), Failure> {
    let mut signals = Signals::install().map_err(Failure::Signals)?;
    let (settings, sockets) = (Settings::from(&config), Arc::clone(&surroundings.sockets));
    let engine = config.daemon.engine.as_str();
    let socket = ControlSocket::open(&settings)?;
    let running = supervisor::start(config, surroundings).await?;
    let grace = || running.config().daemon.shutdown_grace;
    let control = match Server::start(socket, settings, Arc::new(Controlled(running.clone()))) {
        Ok(control) => control,
        Err(error) => {
            service.stopping("the control server did not start");
            running.shutdown(grace(), "the control server did not start").await;
            return Err(error.into());
        }
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), process = std::process::id(), engine, "wapcd is running");
    service.attend(&running, &control, &sockets);
    let end = tokio::select! {
        signal = told_to_stop(&mut signals, &running) => signal.map_err(Failure::Signals),
        reason = running.ended() => Err(Failure::Ended(reason)),
    };
    let why = match &end {
        Ok(signal) => (*signal).to_owned(),
        Err(failure) => host::chain(failure),
    };
    let grace = grace();
    tracing::info!(why, grace_ms = grace.as_millis() as u64, "wapcd is stopping");
    service.stopping(&why);
    // Status is still answered while calls finish.
    running.shutdown(grace, &why).await;
    control.stop(CONTROL_GRACE).await;
    tracing::info!("wapcd has stopped");
    end.map(drop)
}

/// Waits for the signal to stop, and starts a reload at each that asks for one; a stop does not wait for it.
async fn told_to_stop(signals: &mut Signals, running: &SupervisorHandle) -> io::Result<&'static str> {
    loop {
        match signals.next().await? {
            Signal::Stop(name) => return Ok(name),
            Signal::Reload => {
                let running = running.clone();
                // The events tell what became of it.
                actix::spawn(async move { drop(running.reload(false, "SIGHUP").await) });
            }
        }
    }
}

fn check(configured: Configured) -> Result<(), Failure> {
    let config = daemon::load(&configured.path())?;
    daemon::check(&config)?;
    let (modules, bindings, triggers) = (config.modules.len(), config.bindings.len(), config.triggers.len());
    let text =
        format!("{}: good, {modules} modules, {bindings} bindings, {triggers} triggers\n", config.source.display());
    command::write_text(&text).map_err(Failure::Output)
}

fn call(arguments: Call) -> Result<(), Failure> {
    let _logs = logging::start(&Logging { level: LogLevel::Info, format: LogFormat::Text })?;
    let payload = command::payload(arguments.payload).map_err(Failure::Payload)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let deadline = Duration::from_secs(arguments.timeout);
    let call = single_call::call_once(&arguments.file, kind(arguments.engine), &arguments.operation, payload, deadline);
    command::write_response(&runtime.block_on(call)?).map_err(Failure::Output)
}

/// The engine of this name.
fn kind(engine: Engine) -> EngineKind {
    match engine {
        Engine::Cranelift => EngineKind::Cranelift,
        Engine::Pulley => EngineKind::Pulley,
    }
}
