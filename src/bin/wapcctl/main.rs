//! wapcctl: the operator's client of the control socket.

mod changes;
mod events;
mod messages;
mod triggers;

use std::{
    env,
    ffi::OsString,
    io,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use clap::Parser as _;
use wapcd::{
    command::{
        self, Exit,
        operator::{Arguments, Command},
    },
    control::{Action, Client, ClientError, Kind, Problem, Waits, page},
    host,
    supervisor::{
        events::Subject,
        status::{ModuleState, ModuleStatus},
    },
};

/// How long an answer is waited for where `--timeout` is not given. More than the daemon takes to drain a module by
/// default; a call has its own limits in the daemon.
const WAIT: Duration = Duration::from_secs(120);

/// How long the answer to a swap, rollback or reload is waited for: longer than the daemon may take, so that it is the daemon
/// that says what took so long.
const CHANGE_WAIT: Duration = Waits::CHANGE.saturating_add(Duration::from_secs(20));

/// Names the socket where `--socket` is not given; empty counts as unset.
const SOCKET_VARIABLE: &str = "WAPCD_SOCKET";

/// How long the answer to a command is waited for by default; `None`: as long as the daemon needs.
fn wait_for(command: &Command) -> Option<Duration> {
    match command {
        Command::Call { .. } => None,
        Command::Swap(_) | Command::Rollback { .. } | Command::Reload { .. } => Some(CHANGE_WAIT),
        _ => Some(WAIT),
    }
}

/// Why the command did not do what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot read the payload from standard input")]
    Payload(#[source] io::Error),
    #[error("cannot read the code from {file}")]
    Code {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("there is no {0}")]
    Missing(Subject),
    #[error("no module `{0}`, but a trigger: write `{prefix}{0}`", prefix = triggers::PREFIX)]
    Trigger(String),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return command::usage(&error).into(),
    };
    let json = arguments.json;
    match run(arguments) {
        Ok(exit) => exit,
        Err(Failure::Output(error)) => command::cannot_write("wapcctl", &error),
        Err(failure) => report(&failure, json),
    }
    .into()
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let wait = arguments.timeout.map(Duration::from_secs).or(wait_for(&arguments.command));
    let named =
        arguments.socket.or_else(|| env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from));
    let client = named.map_or_else(|| Client::by_default(wait), |socket| Client::new(socket, wait));
    runtime.block_on(execute(&client, arguments.command, arguments.json))
}

async fn execute(client: &Client, command: Command, json: bool) -> Result<Exit, Failure> {
    match command {
        Command::Status => {
            show(&client.get("status").await?, json, |text| Ok(page::status(&client.read(text)?, now())))
        }
        Command::Modules => {
            show(&client.get("modules").await?, json, |text| Ok(page::modules(&client.read::<Vec<_>>(text)?, now())))
        }
        Command::Bindings => {
            show(&client.get("bindings").await?, json, |text| Ok(page::bindings(&client.read::<Vec<_>>(text)?, now())))
        }
        Command::Triggers => {
            show(&client.get("triggers").await?, json, |text| Ok(page::triggers(&client.read::<Vec<_>>(text)?, now())))
        }
        Command::Trigger { name } => {
            show(&client.trigger(&name).await?, json, |text| Ok(page::trigger(&client.read(text)?, now())))
        }
        Command::Run { name } => triggers::run(client, &name, json).await,
        Command::Module { name } => {
            show(&client.module(&name).await?, json, |text| Ok(page::module(&client.read(text)?, now())))
        }
        Command::Call { module, operation, payload, no_payload } => {
            let payload = if no_payload { Some(OsString::new()) } else { payload };
            let payload = command::payload(payload).map_err(Failure::Payload)?;
            let response = client.call(&module, &operation, payload).await?;
            command::write_response(&response).map_err(Failure::Output)?;
            Ok(Exit::Ok)
        }
        Command::Events(wanted) => events::events(client, wanted, json).await,
        Command::Listen(wanted) => messages::listen(client, wanted, json).await,
        Command::Publish(wanted) => messages::publish(client, wanted, json).await,
        Command::Start { name } => act(client, &name, Action::Start, json).await,
        Command::Stop { name } => act(client, &name, Action::Stop, json).await,
        Command::Restart { name } => act(client, &name, Action::Restart, json).await,
        Command::Swap(wanted) => changes::swap(client, wanted, json).await,
        Command::Rollback { name } => changes::roll_back(client, &name, json).await,
        Command::Reload { dry_run } => changes::reload(client, dry_run, json).await,
    }
}

/// Asks for a change of state. A module that was asked to run and has failed is a failure of the command.
async fn act(client: &Client, name: &str, action: Action, json: bool) -> Result<Exit, Failure> {
    if let Some(trigger) = name.strip_prefix(triggers::PREFIX) {
        return triggers::act(client, trigger, action, json).await;
    }
    let name = name.strip_prefix("modules.").unwrap_or(name);
    let document = match client.act(name, action).await {
        Err(ClientError::Problem(_))
            if !json && client.trigger(name).await.is_ok() && client.module(name).await.is_err() =>
        {
            return Err(Failure::Trigger(name.to_owned()));
        }
        document => document?,
    };
    let module: ModuleStatus = client.read(&document)?;
    show(&document, json, |_text| Ok(page::outcome(&module, now())))?;
    let failed = action != Action::Stop && module.state == ModuleState::Failed;
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// Seconds since the Unix epoch.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Prints a document of the daemon as it is, or as text for people.
fn show(
    document: &Bytes,
    json: bool,
    page: impl FnOnce(&[u8]) -> Result<String, ClientError>,
) -> Result<Exit, Failure> {
    let mut text = if json { String::from_utf8_lossy(document).into_owned() } else { page(document)? };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    command::write_text(&text).map_err(Failure::Output)?;
    Ok(Exit::Ok)
}

/// Says what went wrong, once, on standard error.
fn report(failure: &Failure, json: bool) -> Exit {
    let (exit, text) = match failure {
        Failure::Client(ClientError::Problem(problem)) if json => {
            (exit_of(problem), serde_json::to_string(problem).unwrap_or_default())
        }
        Failure::Client(ClientError::Problem(problem)) => {
            (exit_of(problem), format!("wapcctl: {}", page::problem(problem)))
        }
        other => {
            let unreachable = matches!(other, Failure::Client(error) if error.is_unreachable());
            let exit = if unreachable { Exit::Unreachable } else { Exit::Failed };
            (exit, local_problem(other, unreachable, json))
        }
    };
    command::complain(&text);
    exit
}

fn exit_of(problem: &Problem) -> Exit {
    if problem.kind == Kind::Forbidden.urn() { Exit::Denied } else { Exit::Failed }
}

/// A failure on this side of the socket, in the form of the others.
fn local_problem(failure: &Failure, unreachable: bool, json: bool) -> String {
    let detail = host::chain(failure);
    if !json {
        return format!("wapcctl: {}", page::lines(&detail));
    }
    let (kind, title) = if unreachable {
        ("urn:wapcd:error:unreachable", "wapcd cannot be reached")
    } else {
        ("urn:wapcd:error:client", "the command failed on its own side")
    };
    serde_json::json!({ "type": kind, "title": title, "detail": detail }).to_string()
}
