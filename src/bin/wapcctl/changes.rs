//! `wapcctl swap`, `rollback` and `reload`: what changes the code or the configuration that the daemon runs.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
};

use bytes::Bytes;
use wapcd::{
    command::{Exit, operator::Swap},
    control::{Client, page},
    supervisor::status::{ModuleState, ReloadReport, SwapReport},
};

use super::{Failure, now, show};

/// Means standard input where a file is asked for.
const STDIN: &str = "-";

/// Most that is read of a file: offsets in a module have 32 bits. The daemon's own limit is far lower, and it tells it.
const MAX_CODE: u64 = u32::MAX as u64;

/// Sends the bytes of a file as a module's new code.
pub(super) async fn swap(client: &Client, wanted: Swap, json: bool) -> Result<Exit, Failure> {
    let code = read(&wanted.file).map_err(|source| Failure::Code { file: name(&wanted.file), source })?;
    swapped(client, client.swap(&wanted.module, code, wanted.force).await?, json, page::swap)
}

/// Asks for the code that ran before.
pub(super) async fn roll_back(client: &Client, name: &str, json: bool) -> Result<Exit, Failure> {
    swapped(client, client.roll_back(name).await?, json, page::rollback)
}

/// Prints what became of the module. One that has failed is a failure of the command.
fn swapped(
    client: &Client,
    document: Bytes,
    json: bool,
    page: impl Fn(&SwapReport, f64) -> String,
) -> Result<Exit, Failure> {
    let report: SwapReport = client.read(&document)?;
    show(&document, json, |_text| Ok(page(&report, now())))?;
    Ok(if report.module.state == ModuleState::Failed { Exit::Failed } else { Exit::Ok })
}

/// Lets the daemon read its configuration again. A change that went wrong is a failure of the command.
pub(super) async fn reload(client: &Client, dry_run: bool, json: bool) -> Result<Exit, Failure> {
    let document = client.reload(dry_run).await?;
    let report: ReloadReport = client.read(&document)?;
    show(&document, json, |_text| Ok(page::reload(&report)))?;
    let failed = report.changes.iter().any(|change| change.error.is_some());
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn name(file: &Path) -> String {
    if file == Path::new(STDIN) { "standard input".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> io::Result<Bytes> {
    if file != Path::new(STDIN) {
        return bounded(File::open(file)?);
    }
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a terminal: give a file, or pipe the code into it",
        ));
    }
    bounded(stdin.lock())
}

fn bounded(from: impl Read) -> io::Result<Bytes> {
    let mut code = Vec::new();
    from.take(MAX_CODE + 1).read_to_end(&mut code)?;
    if code.len() as u64 > MAX_CODE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("a module has at most {MAX_CODE} bytes")));
    }
    Ok(code.into())
}
