//! The control API: what operators and their tools ask of a running daemon.
//!
//! ```text
//!  wapcctl ── client ──▶ socket file ──▶ server ──▶ routes ──▶ dyn Daemon (the supervisor's handle)
//!  curl                  (lock beside)   (a thread   │  ▲
//!                                        of its own) │  └── body: bounded in bytes and time
//!                                                    └── problem: every error as problem details
//! ```
//!
//! * [`ControlSocket`] decides who may have the path: stale files are replaced, living daemons are not.
//! * [`Server`] runs actix-web on threads of its own; it answers when every worker hangs, because it waits for
//!   nothing without a bound.
//! * `paths` is the table of all paths with the right that each needs; `access` decides who has it, by the groups that
//!   `peer` reads from the kernel when somebody connects.
//! * [`Daemon`] is all that the server knows of the rest.
//! * `feed` is the log of events, as a list or a stream; `metrics` turns a status into what Prometheus reads, on the
//!   socket and, where the configuration wants it, on a TCP port with a server of its own.
//! * `messages` lets operators listen to the topics of a binding, and publish to them.
//! * `triggers` answers for triggers, and lets operators start, stop and run them.
//! * `changes` takes what changes code or configuration: swaps, rollbacks, reloads. They may take minutes and hold whole
//!   modules, so few run at one time.
//! * [`Pulse`] asks the server's threads whether they turn over, for whoever gives signs of life.
//! * [`Problem`] is the form of every error, on both sides of the socket.
//! * [`Client`] is the other side; [`page`] turns what it gets into text for people.

mod access;
mod body;
mod changes;
pub mod client;
mod daemon;
mod feed;
mod lines;
mod messages;
mod metrics;
pub mod page;
mod paths;
mod peer;
mod problem;
mod pulse;
mod query;
mod routes;
mod server;
mod settings;
mod slots;
mod socket;
mod table;
mod triggers;

pub use access::{Grants, Right, UnknownGroup};
pub use client::{Client, ClientError};
pub use daemon::{Action, Bounds, ControlError, Daemon};
pub use feed::LINES;
pub use lines::Lines;
pub use messages::MessageLine;
pub use metrics::MEDIA_TYPE as METRICS_MEDIA_TYPE;
pub use problem::{Facts, Kind, MEDIA_TYPE, Problem};
pub use pulse::Pulse;
pub use routes::OPERATION_HEADER;
pub use server::{ControlServerError, Server, ServerHandle};
pub use settings::{Settings, Waits};
pub use socket::{ControlSocket, SocketError};

pub use crate::web::{CALL_HEADER, GENERATION_HEADER, INSTANCE_HEADER, MODULE_HEADER, encoding};
