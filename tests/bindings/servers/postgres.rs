//! PostgreSQL. It refuses to run as root, so root runs it as the user `postgres`, whom its package makes.

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::OnceLock,
};

use wapcd::config::Server;

use super::{
    Certificates, PASSWORD, Running, USER, password_file,
    programs::{INITDB, POSTGRES},
    running::{Recipe, guarded},
};

/// A PostgreSQL server with an empty database `postgres`, of which [`USER`] is the owner.
pub(crate) struct Postgres {
    running: Running,
    certificates: Option<Certificates>,
}

struct Scram {
    tls: bool,
}

impl Recipe for Scram {
    fn command(&self, directory: &Path, port: u16) -> Command {
        let mut command = Command::new(POSTGRES.find());
        command.arg("-D").arg(directory.join("data")).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        // What is in the system's memory survives a killed server, which is all that happens here.
        for setting in ["fsync=off", "full_page_writes=off", "max_connections=50", "shared_buffers=16MB"] {
            command.args(["-c", setting]);
        }
        if self.tls {
            command.args(["-c", "ssl=on", "-c", "ssl_cert_file=server.pem", "-c", "ssl_key_file=server.key"]);
        }
        command
    }

    fn ready(&self) -> &'static str {
        "database system is ready to accept connections"
    }

    fn user(&self) -> Option<&'static str> {
        server_user()
    }
}

impl Postgres {
    /// Starts one that asks for user and password.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// Starts one that speaks TLS too.
    pub(crate) fn with_tls() -> Self {
        Self::with(Some(Certificates::new()))
    }

    fn with(certificates: Option<Certificates>) -> Self {
        let running = Running::start(Scram { tls: certificates.is_some() }, |directory| {
            run(Command::new("cp").arg("-r").arg(template()).arg(directory.join("data")));
            if let Some(files) = &certificates {
                for file in ["server.pem", "server.key"] {
                    fs::copy(files.path(file), directory.join("data").join(file)).unwrap();
                }
            }
            run(Command::new("chmod").args(["-R", "go="]).arg(directory));
            hand_over(directory);
        });
        Self { running, certificates }
    }

    /// `postgres://`, the address and the database.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{}/postgres", self.running.address())
    }

    /// How a binding reaches it.
    pub(crate) fn server(&self) -> Server {
        let mut server = super::server(self.url());
        server.user = Some(USER.to_owned());
        server.password = Some(password_file(self.running.directory()));
        server.tls = self.certificates.as_ref().map(Certificates::trusted).unwrap_or_default();
        server
    }
}

/// A directory that `initdb` made, copied for each server since making one takes a second. It lasts with the build.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let initdb = INITDB.find();
        // One for each version.
        let name = initdb.display().to_string().replace('/', "_");
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("template{name}"));
        if template.exists() {
            return template;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("password"), PASSWORD).unwrap();
        hand_over(directory.path());
        let mut command = Command::new(initdb);
        command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--username", USER]);
        command.arg("--pwfile").arg(directory.path().join("password")).arg("-D").arg(directory.path().join("data"));
        run(guarded(&command, server_user()).current_dir(directory.path()));
        // Other processes may be at it too: it is there as a whole or not at all, and the first one stays.
        let copy = template.with_extension(process::id().to_string());
        run(Command::new("cp").arg("-r").arg(directory.path().join("data")).arg(&copy));
        if fs::rename(&copy, &template).is_err() {
            fs::remove_dir_all(&copy).unwrap();
        }
        template
    })
}

/// Who runs the server, where it is not the user of the test.
fn server_user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("postgres")
}

fn hand_over(directory: &Path) {
    if let Some(user) = server_user() {
        run(Command::new("chown").args(["-R", user]).arg(directory));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Deref for Postgres {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Postgres {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
