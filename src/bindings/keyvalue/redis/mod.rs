//! The backend in a Redis server, shared with whoever else uses that server.
//!
//! ```text
//!  worker ──Command──▶ operations.rs ──▶ pool.rs: a connection with room ──▶ server
//!              ▲        inside the circuit            │ opened on the threads for connections
//!              └────────────── reply ─────────────────┘
//! ```
//!
//! A value is a Redis string under a name that an operator can read (see [`names`]), its time to live is Redis' own, so that
//! other programs can use the same data and nothing has to be swept. Each operation is one command, or one script where it
//! reads before it writes: Redis runs both without anything in between. `keys` alone is many: see [`scan`].

mod connect;
mod errors;
mod names;
mod operations;
mod pool;
mod scan;

use std::{path::Path, sync::Arc, time::Instant};

use self::{connect::Connector, names::Names, operations::Operations, pool::Pool};
use super::{
    command::Command,
    store::{Store, Submitted},
};
use crate::{
    bindings::{BackendStatus, BindingContext, BindingError, Check, Io, circuit::Circuit},
    config::Server,
};

/// Entries in a Redis server.
pub(super) struct RedisStore {
    shared: Arc<Shared>,
    /// The threads live at least as long as what lives on them.
    _io: Io,
}

struct Shared {
    circuit: Circuit,
    pool: Arc<Pool>,
    operations: Operations,
}

impl RedisStore {
    /// Begins to connect; the server need not be there.
    ///
    /// # Errors
    /// The settings cannot be used: a secret or a file of TLS is missing or wrong.
    pub(super) fn open(
        name: &Arc<str>,
        server: &Server,
        prefix: &str,
        context: &BindingContext,
    ) -> Result<Self, BindingError> {
        let connector = Connector::new(name, server, context.credentials.as_deref().map(Path::new))?;
        let io = context.io.handle_for(name)?;
        let pool = Arc::new(Pool::new(connector, server, io.clone()));
        let probed = Arc::clone(&pool);
        let circuit = Circuit::new(
            Arc::clone(name),
            server.circuit.clone(),
            server.connect_timeout,
            Arc::clone(&context.observer),
            io,
            Arc::new(move || Box::pin(Arc::clone(&probed).probe())),
        );
        let operations = Operations::new(Names::new(prefix));
        Ok(Self { shared: Arc::new(Shared { circuit, pool, operations }), _io: context.io.clone() })
    }
}

impl Store for RedisStore {
    fn submit(&self, command: Command, _deadline: Instant) -> Submitted {
        let shared = Arc::clone(&self.shared);
        Submitted::Later(Box::pin(
            async move { shared.circuit.run(shared.operations.run(&shared.pool, command)).await },
        ))
    }

    fn check(&self) -> Option<Check> {
        Some(self.shared.circuit.check())
    }

    fn backend(&self) -> Option<BackendStatus> {
        Some(self.shared.circuit.status())
    }

    fn stop(&self) {
        self.shared.pool.close();
    }
}
