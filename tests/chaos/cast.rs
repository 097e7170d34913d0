//! Who takes part: fifty modules, what each is called with, and what its calls may end in.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};

use crate::harness::module;

/// Time of a call to a module that misbehaves: short, so that guests that spin leave something of the cores.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
/// Time of every other call: no such call comes near it unless something is wrong.
pub(crate) const LONG: Duration = Duration::from_secs(10);
/// How long the daemon may take to drain.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What a module is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Answers by itself.
    Echo,
    /// Writes a line to the log.
    Log,
    /// Increments a number of its own in the binding of this name: a lost or doubled call would show in the number.
    Count(&'static str),
    /// Asks the module of this name to echo.
    Ask(&'static str),
    /// Uses the binding that panics.
    Exposed,
    /// Traps, spins, exits, grows and answers too much.
    Unruly,
    /// Writes hundreds of lines a call.
    Flood,
}

impl Role {
    /// What a call may end in. A module that behaves well loses none.
    pub(crate) fn allows(self, kind: &str) -> bool {
        match self {
            Self::Echo | Self::Log | Self::Count(_) | Self::Ask(_) => kind == "ok",
            // The guest lives on; the binding may be starting anew for as long as the call may take.
            Self::Exposed => ["ok", "guest-error", "deadline-exceeded"].contains(&kind),
            Self::Flood => ["ok", "deadline-exceeded", "expired"].contains(&kind),
            Self::Unruly => [
                "ok",
                "trapped",
                "exited",
                "deadline-exceeded",
                "limit-exceeded",
                "response-too-large",
                "expired",
                "failed",
                "stopped",
            ]
            .contains(&kind),
        }
    }

    pub(crate) fn behaves(self) -> bool {
        !matches!(self, Self::Unruly | Self::Flood)
    }

    /// The time of its calls.
    pub(crate) fn deadline(self) -> Duration {
        if self.behaves() { LONG } else { SHORT }
    }

    /// An operation with its payload, and the answer where there is but one.
    pub(crate) fn line(self, module: &str, random: &mut StdRng) -> Line {
        let text = |random: &mut StdRng| vec![random.random::<u8>(); random.random_range(0..2_000)];
        match self {
            Self::Echo => Line::echo(["echo", "busy/1/echo", "wait/3/echo"][random.random_range(0..3)], text(random)),
            Self::Log => Line::new(["log", "host/log//info"][random.random_range(0..2)], b"a line".to_vec()),
            Self::Count(binding) => Line::new(&format!("host/{binding}//increment"), key(module)),
            Self::Ask(inner) => Line::echo(&format!("host/module/{inner}/echo"), text(random)),
            Self::Exposed if random.random_bool(0.05) => Line::new("host/faulty//panic_later", b"later".to_vec()),
            Self::Exposed => Line::echo("host/faulty//maybe", b"20".to_vec()),
            Self::Flood => Line::echo("flood", text(random)),
            Self::Unruly => match random.random_range(0..100) {
                0..20 => Line::new("trap", Vec::new()),
                20..34 => Line::new("quit", random.random_range(0..4).to_string().into_bytes()),
                34..37 => Line::new("spin", Vec::new()),
                37..50 => Line::new("grow", Vec::new()),
                50..60 => Line::new("answer", b"1000000".to_vec()),
                60..65 => Line::new("answer", b"9000000".to_vec()),
                65..70 => Line::new("log", vec![b'x'; 65_000]),
                _ => Line::echo("echo", text(random)),
            },
        }
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) operation: String,
    pub(crate) payload: Vec<u8>,
    /// Whether a response must be the payload.
    pub(crate) echoes: bool,
}

impl Line {
    fn new(operation: &str, payload: Vec<u8>) -> Self {
        Self { operation: operation.to_owned(), payload, echoes: false }
    }

    fn echo(operation: &str, payload: Vec<u8>) -> Self {
        Self { echoes: true, ..Self::new(operation, payload) }
    }
}

/// The payload that increments a module's own number.
pub(crate) fn key(module: &str) -> Vec<u8> {
    format!("{{\"key\":\"{module}\"}}").into_bytes()
}

/// A module that takes part.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) name: String,
    pub(crate) role: Role,
    keys: &'static str,
}

/// Restarted at once and for ever.
const PATIENT: &str = "restart = { intensity = 10000, backoff = { initial = \"5ms\", max = \"50ms\" } }\n";
/// The same in a group, whose intensity holds.
const MEMBER: &str = "restart = { backoff = { initial = \"5ms\", max = \"50ms\" } }\n";
/// In back-off for most of the time.
const SLOW: &str = "restart = { intensity = 10000, backoff = { initial = \"200ms\", max = \"2s\" } }\n";
/// Failed after its third exit, and back again after two seconds.
const FRAIL: &str = "restart = { intensity = 2, period = \"1h\", reset_on_success = false, retry_failed = \"2s\", \
                     backoff = { initial = \"5ms\", max = \"50ms\" } }\n";
/// Stopped by an exit with 0, until the operator starts it.
const TRANSIENT: &str = "restart = { type = \"transient\", intensity = 10000, backoff = { initial = \"5ms\" } }\n";
/// Stopped by every exit, until the operator starts it.
const TEMPORARY: &str = "restart = { type = \"temporary\" }\n";

/// All of them, in the order of the configuration.
pub(crate) fn players() -> Vec<Player> {
    let checked = "health = { operation = \"echo\", interval = \"1s\", timeout = \"1s\" }\n";
    let twice = "restart = { intensity = 10000, backoff = { initial = \"5ms\", max = \"50ms\" } }\ninstances = 2\n";
    let table: [(&str, usize, Role, &'static str); 19] = [
        ("echo", 5, Role::Echo, ""),
        ("each", 3, Role::Echo, "instances = \"per-worker\"\n"),
        ("checked", 3, Role::Echo, checked),
        ("inner", 1, Role::Echo, ""),
        ("narrow", 1, Role::Echo, "queue = 1\non_full = \"wait\"\n"),
        ("log", 4, Role::Log, "links = [\"log\"]\n"),
        ("memory", 4, Role::Count("memory"), "links = [\"memory\"]\n"),
        ("durable", 4, Role::Count("durable"), "links = [\"durable\"]\n"),
        ("ask", 4, Role::Ask("inner0"), "links = [{ binding = \"module\", namespace = \"inner0\" }]\n"),
        ("sibling", 1, Role::Echo, ""),
        ("exposed", 3, Role::Exposed, "links = [\"faulty\"]\n"),
        ("unruly", 4, Role::Unruly, PATIENT),
        ("pair", 1, Role::Unruly, twice),
        ("slow", 3, Role::Unruly, SLOW),
        ("frail", 3, Role::Unruly, FRAIL),
        ("transient", 1, Role::Unruly, TRANSIENT),
        ("temporary", 1, Role::Unruly, TEMPORARY),
        ("wild", 1, Role::Unruly, MEMBER),
        ("flood", 3, Role::Flood, "links = [\"log\"]\n"),
    ];
    let named = |(name, count, role, keys): (&str, usize, Role, &'static str)| {
        (0..count).map(move |n| Player { name: format!("{name}{n}"), role, keys }).collect::<Vec<_>>()
    };
    table.into_iter().flat_map(named).collect()
}

/// The configuration of all of them. The group gives up only far beyond what its wild member can do to it.
pub(crate) fn toml(players: &[Player]) -> String {
    let (short, grace) = (SHORT.as_millis(), GRACE.as_secs());
    let long = format!("limits = {{ call_timeout = \"{}s\" }}\n", LONG.as_secs());
    let modules = players.iter().map(|player| {
        let limits = if player.role.behaves() { long.as_str() } else { "" };
        let module = module(&player.name, &format!("{}{limits}", player.keys));
        if player.role == Role::Flood { module.replace("menu.wasm", "flood.wasm") } else { module }
    });
    format!(
        "[daemon]\nworkers = 2\nshutdown_grace = \"{grace}s\"\n\
         [defaults.limits]\ncall_timeout = \"{short}ms\"\nmemory = \"16 MiB\"\n\
         [bindings.memory]\ntype = \"keyvalue\"\nbackend = \"memory\"\n\
         [bindings.durable]\ntype = \"keyvalue\"\nhealth = {{ interval = \"1s\" }}\n\
         [bindings.faulty]\ntype = \"faulty\"\n\
         restart = {{ intensity = 10000, backoff = {{ initial = \"1ms\", max = \"20ms\" }} }}\n\
         [groups.family]\nstrategy = \"one_for_one\"\nmembers = [\"sibling0\", \"wild0\"]\n\
         intensity = 10000\nperiod = \"1s\"\n{}",
        modules.collect::<String>()
    )
}
