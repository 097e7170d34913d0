//! NATS with JetStream. What was acknowledged survives [`Running::kill`].

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::Path,
    process::Command,
};

use wapcd::config::Server;

use super::{Certificates, PASSWORD, Running, USER, password_file, programs::NATS, running::Recipe};

/// A NATS server.
pub(crate) struct Nats {
    running: Running,
    certificates: Option<Certificates>,
    password: bool,
}

struct WithJetStream;

impl Recipe for WithJetStream {
    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = Command::new(NATS.find());
        command.arg("--config").arg(directory.join("nats.conf")).args(["--port", &port.to_string()]);
        command
    }

    fn ready(&self) -> &'static str {
        "Server is ready"
    }
}

impl Nats {
    /// Starts one that asks for nothing.
    pub(crate) fn start() -> Self {
        Self::with(false, None)
    }

    /// Starts one that asks for user and password.
    pub(crate) fn with_password() -> Self {
        Self::with(true, None)
    }

    /// Starts one that asks for user and password and speaks TLS only.
    pub(crate) fn with_tls() -> Self {
        Self::with(true, Some(Certificates::new()))
    }

    fn with(password: bool, certificates: Option<Certificates>) -> Self {
        let running = Running::start(WithJetStream, |directory| {
            let mut conf =
                "host: \"127.0.0.1\"\njetstream {\n  store_dir: \"jetstream\"\n  max_memory_store: 256MB\n  \
                            max_file_store: 1GB\n}\n"
                    .to_owned();
            if password {
                conf += &format!("authorization {{ user: \"{USER}\", password: \"{PASSWORD}\" }}\n");
            }
            if let Some(files) = &certificates {
                let file = |name| files.path(name).display().to_string();
                let (cert, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
                conf += &format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\" }}\n");
            }
            fs::write(directory.join("nats.conf"), conf).unwrap();
        });
        Self { running, certificates, password }
    }

    /// `nats://` or `tls://`, and the address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "tls" } else { "nats" };
        format!("{scheme}://{}", self.running.address())
    }

    /// How a binding reaches it.
    pub(crate) fn server(&self) -> Server {
        let mut server = super::server(self.url());
        server.user = self.password.then(|| USER.to_owned());
        server.password = self.password.then(|| password_file(self.running.directory()));
        server.tls = self.certificates.as_ref().map(Certificates::trusted).unwrap_or_default();
        server
    }
}

impl Deref for Nats {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Nats {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
