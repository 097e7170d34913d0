//! The arguments of `wapcd`: what its help, its manual page and its completions are made of.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What the manual page says beyond the arguments: the title of each section, and its paragraphs of a term and its meaning.
pub const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "SIGNALS",
        &[
            ("SIGTERM, SIGINT", "Drain and stop; the second one ends wapcd at once."),
            (
                "SIGHUP",
                "Read the configuration again, as `wapcctl reload` does, whose exit code tells what became of it.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("WAPCD_LOG", "A log filter in place of `logging.level`, such as `wapcd=debug,actix_server=info`."),
            ("CONFIGURATION_DIRECTORY", "Where `wapcd.toml` is, unless `--config` names a file. systemd sets it."),
            (
                "STATE_DIRECTORY, RUNTIME_DIRECTORY",
                "The defaults of `daemon.state_dir` and `daemon.runtime_dir`. systemd sets them.",
            ),
            ("CREDENTIALS_DIRECTORY", "Where credentials are that the configuration names. systemd sets it."),
            (
                "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
                "Sockets that the daemon is started with: `listen = \"inherited:NAME\"` takes them.",
            ),
            ("NO_COLOR", "No colours on a terminal, where it is not empty."),
        ],
    ),
    (
        "FILES",
        &[
            ("/etc/wapcd/wapcd.toml", "The configuration; see wapcd.toml(5)."),
            (
                "/var/lib/wapcd",
                "Databases, compiled code and what else is kept; modules that are dropped in, in `modules`.",
            ),
            ("/run/wapcd/wapcd.sock", "The control socket, at which wapcctl(1) asks."),
        ],
    ),
];

/// Keeps waPC WebAssembly guests running.
#[derive(Debug, Parser)]
#[command(
    name = "wapcd",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What wapcd is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon in the foreground until SIGTERM or SIGINT; a second signal ends it at once
    Run(Run),
    /// Check the configuration as a start would, with all its modules, and start nothing
    Check(Configured),
    /// Call one guest without a daemon: payload from standard input (empty if that is a terminal), response to standard output
    Call(Call),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration [default: wapcd.toml in $CONFIGURATION_DIRECTORY, else /etc/wapcd/wapcd.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The daemon.
#[derive(Debug, Args)]
pub struct Run {
    /// Its configuration.
    #[command(flatten)]
    pub configured: Configured,
    /// How all guests run, whatever `daemon.engine` of the configuration says
    #[arg(long, value_enum, value_name = "NAME")]
    pub engine: Option<Engine>,
}

/// One call of one guest.
#[derive(Debug, Args)]
pub struct Call {
    /// The guest
    #[arg(value_name = "FILE.wasm")]
    pub file: PathBuf,
    /// The guest's operation
    pub operation: String,
    /// Take this text as the payload
    #[arg(long, value_name = "TEXT")]
    pub payload: Option<OsString>,
    /// How the guest runs
    #[arg(long, value_enum, default_value_t = Engine::Cranelift)]
    pub engine: Engine,
    /// Seconds that the call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

impl Configured {
    /// The file that is read: the given one, else the usual one.
    #[must_use]
    pub fn path(self) -> PathBuf {
        self.config.unwrap_or_else(|| {
            let directory = std::env::var_os("CONFIGURATION_DIRECTORY").filter(|value| !value.is_empty());
            directory.map_or_else(|| PathBuf::from("/etc/wapcd"), PathBuf::from).join("wapcd.toml")
        })
    }
}

/// How a guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Compile it
    Cranelift,
    /// Interpret it: slower, without executable memory
    Pulley,
}
