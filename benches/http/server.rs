//! The process that is measured: a daemon with an `http` trigger, and a plain actix-web handler beside it, with as many workers
//! each. One of both is idle while the other is measured.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use tempfile::TempDir;
use wapcd::{
    config::{self, Environment},
    supervisor::{self, Surroundings},
    triggers::Detail,
};

use crate::harness::Failure;

/// The argument that makes this program a server.
pub(crate) const SERVE: &str = "serve";

/// Modules beside the one that all measures use.
pub(crate) const MANY: usize = 1000;

/// A server in a process of its own, ended when this is dropped.
pub(crate) struct Server {
    process: Child,
    /// `http://ADDRESS:PORT` of the daemon ...
    pub(crate) daemon: String,
    /// ... and of the plain handler.
    pub(crate) plain: String,
}

impl Server {
    /// Starts one with so many workers; `many`: with the thousand modules too.
    pub(crate) fn start(workers: usize, many: bool) -> Result<Self, Failure> {
        let mut process = Command::new(env::current_exe()?)
            .args([SERVE, &workers.to_string(), &usize::from(many).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let mut addresses = line.split_whitespace().map(str::to_owned);
        match (addresses.next(), addresses.next()) {
            (Some(daemon), Some(plain)) => Ok(Self { process, daemon, plain }),
            _ => {
                process.kill()?;
                process.wait()?;
                Err(format!("the server did not start: {line}").into())
            }
        }
    }

    /// Time that the process has spent on all cores.
    pub(crate) fn on_cores(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').ok_or("no name")?.1;
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every architecture that the daemon is built for.
        Ok(Duration::from_millis(ticks * 10))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input; one that does not is ended.
        drop(self.process.stdin.take());
        // Whatever is left of it ends with this program.
        self.process.kill().and_then(|()| self.process.wait()).map(drop).ok();
    }
}

fn configuration(workers: usize, many: bool) -> Result<String, Failure> {
    let mut text = format!(
        "[daemon]\nworkers = {workers}\nstate_dir = \"state\"\n\
         [bindings.memory]\ntype = \"keyvalue\"\nbackend = \"memory\"\n\
         [bindings.redb]\ntype = \"keyvalue\"\nbackend = \"redb\"\npath = \"redb\"\n\
         [bindings.file]\ntype = \"keyvalue\"\nbackend = \"redb\"\npath = \"file\"\ncache = \"0 B\"\n"
    );
    let mut routes = String::new();
    let mut module = |name: &str, link: Option<&str>, timeout: &str, operations: &[&str]| -> Result<(), Failure> {
        write!(
            text,
            "[modules.{name}]\npath = \"guest.wasm\"\ninstances = \"per-worker\"\nlimits.call_timeout = \"{timeout}\"\n"
        )?;
        if let Some(link) = link {
            write!(text, "[[modules.{name}.links]]\nbinding = \"kv\"\nto = \"{link}\"\n")?;
        }
        for operation in operations {
            write!(
                routes,
                "[[triggers.web.routes]]\npath = \"/{name}/{operation}\"\nmodule = \"{name}\"\noperation = \"{operation}\"\n"
            )?;
        }
        Ok(())
    };
    module("plain", None, "5s", &["echo", "work"])?;
    module("memory", Some("memory"), "5s", &["get", "set"])?;
    module("redb", Some("redb"), "5s", &["get", "set"])?;
    module("file", Some("file"), "5s", &["get", "set"])?;
    module("spinner", None, "200ms", &["loop"])?;
    // It goes on spinning, however often that ends it.
    for number in 0..if many { MANY } else { 0 } {
        module(&format!("m{number}"), None, "5s", &["echo"])?;
    }
    text += "[modules.spinner.restart]\nintensity = 10000\nbackoff.initial = \"0s\"\nbackoff.max = \"0s\"\n";
    Ok(format!("{text}[triggers.web]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n{routes}"))
}

async fn echo(body: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/octet-stream").body(body)
}

/// Serves until the input ends.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn serve(workers: usize, many: bool) -> Result<(), Failure> {
    let directory: TempDir = tempfile::tempdir()?;
    fs::write(directory.path().join("guest.wasm"), wat::parse_str(include_str!("guest.wat"))?)?;
    let text = configuration(workers, many)?;
    let config = config::parse(&text, &directory.path().join("wapcd.toml"), &Environment::from_process())?;
    actix::System::new().block_on(async move {
        let handle = supervisor::start(config, Surroundings::default()).await?;
        let plain = HttpServer::new(|| App::new().route("/plain/echo", web::post().to(echo)))
            .workers(workers)
            .bind(("127.0.0.1", 0))?;
        let address = plain.addrs().first().copied().ok_or("no address")?;
        let plain = actix_web::rt::spawn(plain.run());
        let daemon = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let status = handle.status().await?;
            let facts = status.triggers.into_iter().next().and_then(|trigger| trigger.facts);
            if let Some(Detail::Http { listeners, .. }) = facts.map(|facts| facts.detail) {
                break listeners.into_iter().next().ok_or("no listener")?.address;
            }
        };
        println!("http://{daemon} http://{address}");
        tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
        plain.abort();
        Ok(())
    })
}
