//! The arguments of `wapcctl`: what its help, its manual page and its completions are made of.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

/// What the manual page says beyond the arguments: the title of each section, and its paragraphs of a term and its meaning.
pub const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    ("ENVIRONMENT", &[("WAPCD_SOCKET", "The control socket, unless `--socket` names one.")]),
    ("FILES", &[("/run/wapcd/wapcd.sock", "The control socket of the system's daemon.")]),
];

/// Talks to a running wapcd over its control socket.
#[derive(Debug, Parser)]
#[command(
    name = "wapcctl",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 64 wrong usage, 69 wapcd cannot be reached, 77 not allowed."
)]
pub struct Arguments {
    /// The control socket [default: $WAPCD_SOCKET, else the first that exists of the user's own and /run/wapcd/wapcd.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print JSON, except for the response of a call; errors are problem details on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Seconds to wait for the answer [default: 120; for swap, rollback and reload 620; for call as long as the daemon needs]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What wapcctl is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
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
    Swap(Swap),
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
    Events(Events),
    /// Print the messages of a topic as they come, until Ctrl-C or until the binding stops
    Listen(Listen),
    /// Publish a message: the payload comes from standard input (empty if that is a terminal)
    Publish(Publish),
}

/// What is swapped.
#[derive(Debug, Args)]
pub struct Swap {
    /// Name of the module
    pub module: String,
    /// The new code; `-` is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Take code that was rolled back before as well
    #[arg(long)]
    pub force: bool,
}

/// What is asked of the events.
#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens, until Ctrl-C or until the daemon stops
    #[arg(long, short)]
    pub follow: bool,
    /// Whose.
    #[command(flatten)]
    pub of: Of,
    /// Show only events with a higher number than this
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
}

/// Whose events are shown: those of everything where nothing is named.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub struct Of {
    /// Show only what happened to this module
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// Show only what happened to this binding
    #[arg(long, value_name = "NAME")]
    pub binding: Option<String>,
    /// Show only what happened to this group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// Show only what happened to this trigger
    #[arg(long, value_name = "NAME")]
    pub trigger: Option<String>,
    /// Show only what happened to this worker
    #[arg(long, value_name = "NUMBER")]
    pub worker: Option<usize>,
}

/// What is listened to.
#[derive(Debug, Args)]
pub struct Listen {
    /// Name of the binding
    pub binding: String,
    /// A topic, or a pattern: `*` stands for one part between dots, `>` for all that follow
    pub topic: String,
    /// Answer every message that wants an answer with this text
    #[arg(long, value_name = "TEXT")]
    pub reply: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// What is published.
#[derive(Debug, Args)]
pub struct Publish {
    /// Name of the binding
    pub binding: String,
    /// The topic
    pub topic: String,
    /// Take this text as the payload
    #[arg(long, value_name = "TEXT", conflicts_with = "no_payload")]
    pub payload: Option<OsString>,
    /// Send an empty payload and leave standard input alone
    #[arg(long)]
    pub no_payload: bool,
    /// Send this header too
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// Wait for an answer, and print it
    #[arg(long)]
    pub request: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "request",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub patience: u64,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it is NAME:VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
