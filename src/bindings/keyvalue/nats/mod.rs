//! The backend in a key-value bucket of NATS JetStream, shared with whoever else uses that bucket.
//!
//! ```text
//!  worker ──Command──▶ operations.rs ──▶ bucket.rs: one request, one reply ──▶ connection.rs ──▶ server
//!              ▲        inside the circuit                                       │ opened on the threads for connections
//!              └─────────────────────── reply ───────────────────────────────────┘
//! ```
//!
//! An entry is a message of the bucket's stream, under a name that JetStream allows (see [`names`]), as the key-value clients of
//! NATS write it: they can read it, and it them. When it expires is in a header; what is found expired is removed in passing. A
//! write is answered when JetStream has acknowledged it, and one that depends on what was read before names the revision of
//! that, so that nothing comes in between. All calls share one connection, which carries as many as there are.

mod bucket;
mod connect;
mod connection;
mod errors;
mod keys;
mod names;
mod operations;

use std::{sync::Arc, time::Instant};

use self::{connect::Connector, connection::Connection, names::Names, operations::Operations};
use super::{
    command::Command,
    store::{Store, Submitted, wall_clock},
};
use crate::{
    bindings::{BackendStatus, BindingContext, BindingError, Check, Io, circuit::Circuit},
    config::Server,
};

/// Entries in a bucket.
pub(super) struct NatsStore {
    shared: Arc<Shared>,
    /// The threads live at least as long as what lives on them.
    _io: Io,
}

struct Shared {
    circuit: Circuit,
    connection: Arc<Connection>,
    operations: Operations,
}

impl NatsStore {
    /// Begins to connect; the server need not be there.
    ///
    /// # Errors
    /// The settings cannot be used: a secret or a file of TLS is missing or wrong.
    pub(super) fn open(
        name: &Arc<str>,
        server: &Server,
        bucket: &str,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let connector = Connector::new(name, server, bucket, context.credentials.as_deref())?;
        let io = context.io.handle_for(name)?;
        let connection = Arc::new(Connection::new(connector, server.connect_timeout, io.clone()));
        let probed = Arc::clone(&connection);
        let circuit = Circuit::new(
            Arc::clone(name),
            server.circuit.clone(),
            server.connect_timeout,
            Arc::clone(&context.observer),
            io,
            Arc::new(move || Box::pin(Arc::clone(&probed).probe())),
        );
        let operations = Operations::new(Names::new(bucket), wall_clock());
        Ok(Self { shared: Arc::new(Shared { circuit, connection, operations }), _io: context.io.clone() })
    }
}

impl Store for NatsStore {
    fn submit(&self, command: Command, _deadline: Instant) -> Submitted {
        let shared = Arc::clone(&self.shared);
        Submitted::Later(Box::pin(async move {
            shared.circuit.run(shared.operations.run(&shared.connection, command)).await
        }))
    }

    fn check(&self) -> Option<Check> {
        Some(self.shared.circuit.check())
    }

    fn backend(&self) -> Option<BackendStatus> {
        Some(self.shared.circuit.status())
    }

    fn stop(&self) {
        self.shared.connection.close();
    }
}
