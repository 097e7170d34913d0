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
use clap::{Parser, Subcommand};
use wapcd::{
    command::{self, Exit},
    control::{Action, Client, ClientError, Waits, page},
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

/// Talks to a running wapcd over its control socket.
#[derive(Debug, Parser)]
#[command(
    name = "wapcctl",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 64 wrong usage, 69 wapcd cannot be reached."
)]
struct Arguments {
    /// The control socket [default: $WAPCD_SOCKET, else the first that exists of the user's own and /run/wapcd/wapcd.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON, except for the response of a call; errors are problem details on standard error
    #[arg(long, global = true)]
    json: bool,
    /// Seconds to wait for the answer [default: 120; for swap, rollback and reload 620; for call as long as the daemon needs]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the daemon with all its modules, bindings and triggers
    Status,
    /// List the modules
    Modules,
    /// Show one module, with its generations and the causes of its last exit
    Module {
        /// Name of the module
        name: String,
    },
    /// Call a guest: the payload comes from standard input (empty if that is a terminal), the response goes to standard output
    Call {
        /// Name of the module
        module: String,
        /// The guest's operation
        operation: String,
        /// Take this text as the payload
        #[arg(long, value_name = "TEXT", conflicts_with = "no_payload")]
        payload: Option<OsString>,
        /// Send an empty payload and leave standard input alone
        #[arg(long)]
        no_payload: bool,
    },
    /// Start a module or trigger that was stopped or has failed, or that waits for its next try
    Start {
        /// Name of the module, or `triggers.NAME`
        name: String,
    },
    /// Finish what a module or trigger runs and stop it
    Stop {
        /// Name of the module, or `triggers.NAME`
        name: String,
    },
    /// Give a running module fresh instances of the code that is loaded, or begin a trigger anew; start one that is stopped
    /// or failed
    Restart {
        /// Name of the module, or `triggers.NAME`
        name: String,
    },
    /// Give a module other code between two calls; it keeps it until its file changes
    Swap(changes::Swap),
    /// Give a module the code back that ran before
    Rollback {
        /// Name of the module
        name: String,
    },
    /// Read the configuration again and apply what differs; where anything is wrong with it nothing changes
    Reload {
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
    },
    /// List the bindings, with the causes of their last exits
    Bindings,
    /// List the triggers, with the causes of their last exits
    Triggers,
    /// Show one trigger: where its calls come from, how they ended, and the next times of a schedule
    Trigger {
        /// Name of the trigger
        name: String,
    },
    /// Let a schedule call now
    Run {
        /// Name of the trigger
        name: String,
    },
    /// Show what happened: every change of state that the daemon remembers
    Events(events::Wanted),
    /// Print the messages of a topic as they come, until Ctrl-C or until the binding stops
    Listen(messages::Listen),
    /// Publish a message: the payload comes from standard input (empty if that is a terminal)
    Publish(messages::Publish),
}

impl Command {
    /// How long its answer is waited for by default; `None`: as long as the daemon needs.
    fn wait(&self) -> Option<Duration> {
        match self {
            Self::Call { .. } => None,
            Self::Swap(_) | Self::Rollback { .. } | Self::Reload { .. } => Some(CHANGE_WAIT),
            _ => Some(WAIT),
        }
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
    let wait = arguments.timeout.map(Duration::from_secs).or(arguments.command.wait());
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
            (Exit::Failed, serde_json::to_string(problem).unwrap_or_default())
        }
        Failure::Client(ClientError::Problem(problem)) => {
            (Exit::Failed, format!("wapcctl: {}", page::problem(problem)))
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
