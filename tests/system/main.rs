//! The system service, proved in a real systemd: the package is installed into a box of each release of Debian, and what
//! the service promises is tried there. `scripts/system-tests` builds the package and runs this.
//!
//!   system PACKAGE            every proof, on both releases at once
//!   system PACKAGE WORDS      those whose name has these words
//!
//! Each proof has a box of its own, booted for it and thrown away. `machine.rs` is the handle of a box, `package.rs` the
//! package and a newer one, `guests.rs` what runs in it, `callers.rs` those who ask meanwhile; the other files are proofs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a proof fails by panicking, and says so")]

mod callers;
mod failures;
mod guests;
mod journal;
mod lifecycle;
mod load;
mod machine;
mod modules;
mod package;
mod privileges;
mod reload;
mod rights;

use std::{
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Instant,
};

use crate::{
    machine::{Machine, Suite},
    package::Packages,
};

/// What is proved, and by what.
struct Proof {
    name: &'static str,
    run: fn(&Machine),
    /// Whether the package is there when it begins.
    installed: bool,
}

/// On a box with the package installed and the service running.
const fn installed(name: &'static str, run: fn(&Machine)) -> Proof {
    Proof { name, run, installed: true }
}

/// On a box as it was made.
const fn bare(name: &'static str, run: fn(&Machine)) -> Proof {
    Proof { name, run, installed: false }
}

const PROOFS: &[Proof] = &[
    bare("an installation enables and starts the service, which says what it does", lifecycle::install),
    bare("every line that the README has about the service works", lifecycle::readme),
    installed("the units pass the checks of systemd, hardened as far as promised", lifecycle::lint),
    installed("an upgrade keeps what an administrator has edited, disabled and enabled", lifecycle::upgrade),
    installed("a removal stops the service, and a purge leaves nothing", lifecycle::remove_and_purge),
    installed("a purge spares what no daemon has made, and what is mounted", lifecycle::purge_spares_what_others_made),
    installed("a module that a member of the group drops answers, one of a stranger does not", modules::dropped),
    installed("two daemons of the template do not share anything but their user", modules::instances),
    installed("a daemon of the template with a user of its own is kept from the others", modules::own_user),
    installed("a good reload is applied and a bad one refused, by exit code, in the same process", reload::verdicts),
    installed("a held worker makes the watchdog restart the service, with its state", failures::watchdog),
    installed("a killed daemon is back with its state", failures::killed),
    installed("a crash loop ends at the limit of starts, a wrong configuration at once", failures::crash_loop),
    installed("a stop under load loses no call", load::stop),
    installed("no connection on an activated socket is refused over restarts and an upgrade", load::activated),
    installed("no connection on a socket of the daemon's own is refused over a restart", load::stored),
    installed("lines of the journal are found by module", journal::fields),
    installed("a credential is readable for guests, and for nobody else", privileges::credentials),
    installed("readers see how the service stands, operators do everything, others nothing", rights::control_socket),
    installed("a port below 1024 takes a socket of systemd, or the right to bind it", privileges::low_port),
    installed("the sandbox holds", privileges::sandbox),
    installed(
        "without executable memory the interpreter runs guests, and the compiler does not",
        privileges::interpreter,
    ),
    installed("without a network the service answers on activated sockets", privileges::activated_only),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (package, filter) = match words[..] {
        ["callers", address, path, callers] => return callers::serve(address, path, callers.parse().unwrap()),
        [package] => (package, ""),
        [package, filter] => (package, filter),
        _ => {
            println!("usage: system PACKAGE [WORDS]");
            return ExitCode::from(64);
        }
    };
    let packages = &Packages::new(&PathBuf::from(package));
    let chosen: &Vec<&Proof> = &PROOFS.iter().filter(|proof| proof.name.contains(filter)).collect();
    let failed: usize = thread::scope(|scope| {
        let lanes = Suite::ALL.map(|suite| {
            let lane = move || chosen.iter().filter(|proof| !prove(suite, packages, proof)).count();
            // What a proof that fails says has the release before it.
            thread::Builder::new().name(suite.to_string()).spawn_scoped(scope, lane).unwrap()
        });
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    println!("{} proofs on {} systems, {failed} failed", chosen.len(), Suite::ALL.len());
    if failed == 0 && !chosen.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a proof holds on a release.
fn prove(suite: Suite, packages: &Packages, proof: &Proof) -> bool {
    let began = Instant::now();
    let mut booted = None;
    let proved = catch_unwind(AssertUnwindSafe(|| {
        let machine = booted.insert(Machine::boot(suite, packages));
        if proof.installed {
            machine.install();
        }
        (proof.run)(machine);
    }));
    let (seconds, name) = (began.elapsed().as_secs_f32(), proof.name);
    match (proved, booted) {
        (Ok(()), _) => {
            println!("ok      {suite:8} {seconds:5.1} s  {name}");
            return true;
        }
        (Err(_), Some(machine)) => println!("FAILED  {suite:8} {seconds:5.1} s  {name}\n{}", machine.testimony()),
        // What its start said is with the panic.
        (Err(_), None) => println!("FAILED  {suite:8} {seconds:5.1} s  {name}\n--- the box did not come up"),
    }
    false
}
