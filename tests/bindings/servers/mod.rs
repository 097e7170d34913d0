//! Real servers of a test's own: on free ports of the loopback interface, in a directory of their own, gone with the test.
//!
//! ```text
//!  Redis  Nats  Postgres  S3        how each is configured, and what a binding needs to reach it
//!    └──────┴──────┴───────┘
//!            Running                one process with its directory: kill, pause, resume, restart, end
//!     programs  ports  certificates
//!
//!  Proxy                            between a binding and a server: refuses, resets, delays, swallows, cuts
//! ```
//!
//! Everything here blocks until it is done, so a test that needs its runtime meanwhile asks from another thread. A server
//! whose program is missing fails the test and says what to install.

mod certificates;
mod nats;
mod ports;
mod postgres;
mod programs;
mod proxy;
mod redis;
mod running;
mod s3;
mod tests;

use std::{fs, path::Path, time::Duration};

use wapcd::config::{Backoff, Circuit, SecretSource, Server, TlsFiles};

#[allow(unused_imports, reason = "tests of triggers listen where nobody else does, too")]
pub(crate) use self::ports::free as free_port;
pub(crate) use self::{
    certificates::Certificates, nats::Nats, postgres::Postgres, proxy::Proxy, redis::Redis, running::Running, s3::S3,
};

/// The password of every server that asks for one.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Who bindings are to the servers that know users.
pub(crate) const USER: &str = "wapcd";

/// How bindings reach a server: impatient, so that tests of faults take no longer than they must.
pub(crate) fn server(url: String) -> Server {
    Server {
        urls: vec![url],
        user: None,
        password: None,
        tls: TlsFiles::default(),
        connect_timeout: Duration::from_secs(2),
        connections: 4,
        circuit: Circuit {
            failures: 3,
            backoff: Backoff {
                initial: Duration::from_millis(20),
                max: Duration::from_millis(200),
                factor: 2.0,
                jitter: 0.1,
            },
        },
    }
}

/// The password, in a file as the configuration wants it.
fn password_file(directory: &Path) -> SecretSource {
    let path = directory.join("password");
    fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    SecretSource::File(path)
}
