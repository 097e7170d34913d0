//! Reloads that change nothing: those of a configuration with a mistake, and those that only plan.

use std::time::Duration;

use rustix::process::Signal;
use wapcd::supervisor::{events::What, status::Status};

use crate::{
    config_mutations::{mutations, rich},
    guest,
    harness::{Daemon, Home},
    reload::{ask, changes, plain, put_code, reloaded, start},
    stage::timeless,
    told::Told,
};

/// What must be the same after a refused reload: all but times and the refusal itself.
fn lasting(daemon: &Daemon) -> Status {
    timeless(daemon.status())
}

#[test]
fn a_hundred_broken_configurations_change_nothing() {
    let good = rich();
    let home = Home::new("");
    put_code(&home);
    home.write("wapcd.toml", &good);
    let daemon = home.start();
    let told = Told::follow(&daemon);
    assert_eq!(changes(&reloaded(&daemon, "")), Vec::<String>::new());
    assert_eq!(daemon.call("careful", "count", b"").status, 200);
    told.wait_for_quiet(Duration::from_millis(50));
    let before = lasting(&daemon);
    let seed = std::env::var("WAPCD_TEST_SEED").map_or(20_261_123, |seed| seed.parse().unwrap());
    for (n, mutation) in mutations(&good, 100, seed).into_iter().enumerate() {
        daemon.home().write("wapcd.toml", &mutation.bytes);
        let mistake = format!(
            "{} (seed {seed}):\n{}",
            mistake_of(&mutation.mistake, n),
            String::from_utf8_lossy(&mutation.bytes)
        );
        let seen = told.count();
        match n % 3 {
            0 => daemon.signal(Signal::HUP),
            1 => {
                let answer = ask(&daemon, "");
                assert_eq!((answer.status, answer.kind().as_str()), (422, "reload-refused"), "{mistake}");
            }
            _ => {
                let output = daemon.wapcctl(&["reload"]);
                assert_eq!(output.status.code(), Some(1), "{mistake}");
                assert!(String::from_utf8_lossy(&output.stderr).contains("nothing has changed"), "{output:?}");
            }
        }
        let event = told.wait(seen, "the refusal", |event| matches!(event.what, What::ReloadRefused { .. }));
        let What::ReloadRefused { problems, .. } = event.what else { unreachable!("it was looked for") };
        assert!(!problems.is_empty(), "{mistake}");
        let said = daemon.status().configuration;
        assert_eq!(said.last_error.unwrap().problems, problems, "{mistake}");
        assert_eq!(said.reloads_refused, n as u64 + 1, "{mistake}");
        assert_eq!(lasting(&daemon), before, "{mistake}");
    }
    assert_eq!(daemon.call("careful", "build", b"").text(), guest::name(1));
    daemon.home().write("wapcd.toml", &good);
    assert_eq!(changes(&reloaded(&daemon, "")), Vec::<String>::new());
    assert_eq!(daemon.status().configuration.last_error, None);
}

fn mistake_of(mistake: &str, n: usize) -> String {
    format!("mutation {n}, {mistake}")
}

#[test]
fn every_mutation_that_shows_in_the_text_is_refused_by_the_check_of_the_text() {
    let home = Home::new("");
    home.write("wapcd.toml", rich());
    let good = wapcd::daemon::load(&home.config());
    assert!(good.is_ok(), "{good:?}");
    for mutation in mutations(&rich(), 300, 1) {
        home.write("wapcd.toml", &mutation.bytes);
        let loaded = wapcd::daemon::load(&home.config());
        let text = String::from_utf8_lossy(&mutation.bytes);
        assert_eq!(loaded.is_err(), mutation.shows, "{}:\n{text}", mutation.mistake);
    }
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let text = |more: &str| format!("[daemon]\nworkers = 2\n[watch]\nmode = \"off\"\n{}{more}", plain("one", ""));
    let (daemon, told) = start(&text(&plain("two", "")));
    let before = lasting(&daemon);
    daemon.home().configure(
        &text(&plain("three", "")).replace("plain.wasm\"\n\n[modules.three", "other.wasm\"\n\n[modules.three"),
    );
    let report = reloaded(&daemon, "?dry_run=true");
    assert!(report.dry_run);
    let mut planned = changes(&report);
    planned.sort();
    assert_eq!(planned, ["add modules.three", "remove modules.two", "swap modules.one"]);
    let page = daemon.ctl(&["reload", "--dry-run"]);
    for change in ["modules.three", "modules.two", "modules.one"] {
        assert!(page.contains(change), "{page}");
    }
    assert_eq!(lasting(&daemon), before);
    assert!(!told.all().iter().any(|event| matches!(event.what, What::Reloaded { .. })));

    // What is refused is refused as well when it is only planned.
    daemon.home().configure("[modules.one]\npath = 5\n");
    assert_eq!(ask(&daemon, "?dry_run=true").kind(), "reload-refused");
    assert_eq!(daemon.call("two", "build", b"").text(), guest::name(1));

    daemon.home().configure(&text(&plain("three", "")));
    let mut done = changes(&reloaded(&daemon, ""));
    done.sort();
    assert_eq!(done, ["add modules.three", "remove modules.two"]);
}
