//! Redis. What was answered survives [`Running::kill`].

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::Path,
    process::Command,
};

use wapcd::config::Server;

use super::{Certificates, PASSWORD, Running, password_file, programs::REDIS, running::Recipe};

/// A Redis server.
pub(crate) struct Redis {
    running: Running,
    certificates: Option<Certificates>,
    password: bool,
}

struct Plain;

impl Recipe for Plain {
    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = Command::new(REDIS.find());
        let port_key = if directory.join("tls").exists() { "--tls-port" } else { "--port" };
        command.arg(directory.join("redis.conf")).args([port_key, &port.to_string()]);
        command
    }

    fn ready(&self) -> &'static str {
        "Ready to accept connections"
    }
}

impl Redis {
    /// Starts one that asks for nothing.
    pub(crate) fn start() -> Self {
        Self::with(false, None)
    }

    /// Starts one that asks for the password.
    pub(crate) fn with_password() -> Self {
        Self::with(true, None)
    }

    /// Starts one that asks for the password and speaks TLS only.
    pub(crate) fn with_tls() -> Self {
        Self::with(true, Some(Certificates::new()))
    }

    fn with(password: bool, certificates: Option<Certificates>) -> Self {
        let running = Running::start(Plain, |directory| {
            // Every write is in the file before it is answered; whether the disk has it matters to nobody here.
            let mut conf = "bind 127.0.0.1\nsave \"\"\nappendonly yes\nappendfsync no\ndaemonize no\n".to_owned();
            if password {
                conf += &format!("requirepass \"{PASSWORD}\"\n");
            }
            if let Some(files) = &certificates {
                conf += "port 0\ntls-auth-clients optional\n";
                for (key, file) in
                    [("tls-cert-file", "server.pem"), ("tls-key-file", "server.key"), ("tls-ca-cert-file", "ca.pem")]
                {
                    conf += &format!("{key} {}\n", files.path(file).display());
                }
                fs::write(directory.join("tls"), "").unwrap();
            }
            fs::write(directory.join("redis.conf"), conf).unwrap();
        });
        Self { running, certificates, password }
    }

    /// `redis://` or `rediss://`, and the address.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{}", self.running.address())
    }

    /// How a binding reaches it.
    pub(crate) fn server(&self) -> Server {
        let mut server = super::server(self.url());
        server.password = self.password.then(|| password_file(self.running.directory()));
        server.tls = self.certificates.as_ref().map(Certificates::trusted).unwrap_or_default();
        server
    }
}

impl Deref for Redis {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
