//! New code that is not what it should be: tried before it takes over, watched after it, and given back.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use wapcd::supervisor::{
    events::{Event, What},
    status::{GenerationOrigin, GenerationOutcome, GenerationStatus},
};

use crate::{
    callers::Callers,
    guest::{self, Build},
    harness::{Daemon, Home, eventually, pause_for},
    stage::{self, Kept, last_swap_error, put},
    told::Told,
};

/// What takes new code away again: many failures in a short time, restarted at once.
const PATIENT: &str = "restart = { intensity = 1000, backoff = { initial = \"1ms\", max = \"5ms\" } }\n";

/// A daemon whose module `tried` runs build 1 and has these settings of swaps.
fn start(swap: &str, keys: &str) -> (Daemon, Told) {
    let home = Home::new(&format!(
        "[watch]\nsettle = \"50ms\"\n[modules.tried]\npath = \"tried.wasm\"\n{keys}{PATIENT}[modules.tried.swap]\n{swap}\n"
    ));
    home.write("tried.wasm", guest::build(1));
    let daemon = home.start();
    let told = Told::follow(&daemon);
    (daemon, told)
}

/// The same daemon started again in the same directory.
fn again(home: Home) -> (Daemon, Told) {
    let daemon = home.start();
    let told = Told::follow(&daemon);
    (daemon, told)
}

fn file(daemon: &Daemon) -> PathBuf {
    daemon.home().path().join("tried.wasm")
}

/// Drops a build and waits until it runs.
fn drop_build(daemon: &Daemon, told: &Told, number: u32) {
    let (seen, bytes) = (told.count(), guest::build(number));
    put(&file(daemon), &bytes);
    told.wait_swapped(seen, "tried", &guest::sha256(&bytes));
}

fn runs(daemon: &Daemon, number: u32) -> bool {
    let answer = daemon.call("tried", "build", b"");
    (answer.status, answer.text()) == (200, guest::name(number))
}

/// Lets the code that runs trap so often.
fn fail(daemon: &Daemon, times: usize) {
    for _ in 0..times {
        assert_eq!(daemon.call("tried", "trap", b"").kind(), "trapped");
    }
}

fn generation(daemon: &Daemon, number: u64) -> GenerationStatus {
    let generations = daemon.module("tried").generations;
    generations.into_iter().find(|generation| generation.generation == number).unwrap()
}

/// A module with build 2 in its file that was rolled back to build 1 by its probation.
fn rolled_back() -> (Daemon, Told) {
    let (daemon, told) = start("probation = \"1m\"\nmax_failures = 2", "");
    drop_build(&daemon, &told, 2);
    assert_eq!(generation(&daemon, 2).outcome, GenerationOutcome::OnProbation);
    fail(&daemon, 3);
    eventually("the build before runs", || runs(&daemon, 1));
    told.wait(0, "the failed probation", |event| {
        matches!(event.what, What::ProbationFailed { generation: 2, failures: 3, of: 2 })
    });
    told.wait(0, "the roll back", |event| {
        matches!(event.what, What::Swapped { origin: GenerationOrigin::RollBack, .. })
    });
    (daemon, told)
}

#[test]
fn code_that_does_not_answer_its_probe_as_it_should_does_not_take_over() {
    let (daemon, told) = start("probe = { operation = \"probe\", payload = \"?\", expect = \"well\" }", "");
    let before = Kept::of(&daemon.module("tried"));
    let builds =
        [(Build { ill: true, ..Build::default() }, "ill"), (Build { traps: true, ..Build::default() }, "trapped")];
    for (number, (build, reason)) in (2..).zip(builds) {
        let seen = told.count();
        put(&file(&daemon), build.make(number));
        told.wait(seen, "the refusal", |event| matches!(event.what, What::SwapFailed { .. }));
        let said = last_swap_error(&daemon.module("tried"));
        assert!(said.contains("probe") && said.contains(reason), "{said}");
        assert_eq!(Kept::of(&daemon.module("tried")), before);
        assert!(runs(&daemon, 1));
        assert!(daemon.module("tried").differs.is_some());
    }
    drop_build(&daemon, &told, 4);
    assert!(runs(&daemon, 4) && daemon.module("tried").differs.is_none());
}

#[test]
fn when_one_instance_does_not_take_new_code_all_of_them_keep_the_old_one() {
    let (daemon, told) = start("export = \"export\"\nimport = \"import\"", "instances = 3\n");
    daemon.wait_for_instances("tried", 3);
    let mut counts = BTreeMap::new();
    let mut last = 0;
    eventually("the instances have had different numbers of calls", || {
        for answer in Callers::start(&daemon, 3, &["tried"], "work").end_after(Duration::from_millis(50)) {
            let count = counts.entry(answer.instance.unwrap()).or_insert(0);
            *count = answer.both().1.max(*count);
        }
        // Ids grow with slots, so the last one takes new code last.
        last = counts.values().next_back().copied().unwrap_or_default();
        counts.len() == 3 && counts.values().filter(|count| **count == last).count() == 1
    });
    let (before, callers) = (daemon.module("tried"), Callers::start(&daemon, 2, &["tried"], "peek"));
    let refused = stage::swap(&daemon, "tried", &Build { unlucky: Some(last), ..Build::default() }.make(2));
    assert_eq!((refused.status, refused.kind().as_str()), (422, "swap-failed"), "{}", refused.text());
    let taken = |event: &Event| matches!(event.what, What::InstanceSwapped { generation: 2, .. });
    assert_eq!(told.of("tried", 0).into_iter().filter(taken).count(), 2, "the last instance refused");
    eventually("all instances have the old code", || {
        let instances = daemon.module("tried").instances;
        instances.len() == 3 && instances.iter().all(|instance| instance.generation == 1)
    });
    for answer in callers.end() {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let after = daemon.module("tried");
    assert_eq!((after.generation, after.sha256, after.restarts_in_window), (1, before.sha256, 0));
    // The one that refused has not changed at all.
    assert_eq!(after.instances[2].id, before.instances[2].id);
    assert_eq!(told.swaps(0, "tried"), []);
    for answer in Callers::start(&daemon, 3, &["tried"], "build").end_after(Duration::from_millis(50)) {
        assert_eq!((answer.status, answer.text), (200, guest::name(1)));
    }
}

#[test]
fn code_that_fails_its_probation_gives_way_to_the_code_before_and_stays_away() {
    let (daemon, told) = rolled_back();
    let status = daemon.module("tried");
    assert_eq!(status.sha256, Some(guest::sha256(&guest::build(1))));
    assert!(status.differs.is_some(), "{status:?}");
    let failed = generation(&daemon, 2);
    assert_eq!((failed.outcome, failed.why.is_some()), (GenerationOutcome::RolledBack, true));
    let current = generation(&daemon, status.generation);
    assert_eq!(current.origin, GenerationOrigin::RollBack);
    let back = |event: &Event| matches!(&event.what, What::Swapped { origin: GenerationOrigin::RollBack, .. });
    assert_eq!(told.of("tried", 0).iter().filter(|event| back(event)).count(), 1);

    // The same bytes again are the same code.
    let seen = told.count();
    put(&file(&daemon), guest::build(2));
    pause_for(Duration::from_millis(400));
    assert_eq!(told.swaps(seen, "tried"), []);
    let refused = stage::swap(&daemon, "tried", &guest::build(2));
    assert_eq!((refused.status, refused.kind().as_str()), (409, "swap-refused"), "{}", refused.text());

    // A restart of the daemon runs what ran before.
    let (daemon, _told) = again(daemon.stop());
    assert!(runs(&daemon, 1) && daemon.module("tried").differs.is_some());
    let (daemon, told) = again(daemon.kill());
    assert!(runs(&daemon, 1) && daemon.module("tried").differs.is_some());

    // Another file is another matter.
    drop_build(&daemon, &told, 3);
    assert!(runs(&daemon, 3) && daemon.module("tried").differs.is_none());
    let (daemon, _told) = again(daemon.stop());
    assert!(runs(&daemon, 3) && daemon.module("tried").differs.is_none());
}

#[test]
fn an_operator_may_force_code_that_was_rolled_back() {
    let (daemon, _told) = rolled_back();
    let forced = daemon.request("POST", "/v1/modules/tried/swap?force=true", "", &guest::build(2)).unwrap();
    assert_eq!(forced.status, 200, "{}", forced.text());
    assert!(runs(&daemon, 2));
    let path = daemon.home().path().join("three.wasm");
    std::fs::write(&path, guest::build(3)).unwrap();
    let path = path.display().to_string();
    daemon.ctl(&["swap", "tried", &path]);
    assert!(runs(&daemon, 3));
    daemon.ctl(&["swap", "--force", "tried", &path]);
    assert!(runs(&daemon, 3));
}

#[test]
fn code_that_stands_its_probation_stays_whatever_it_does_later() {
    let (daemon, told) = start("probation = \"300ms\"\nmax_failures = 0", "");
    drop_build(&daemon, &told, 2);
    told.wait(0, "the passed probation", |event| matches!(event.what, What::ProbationPassed { generation: 2 }));
    assert_eq!(generation(&daemon, 2).outcome, GenerationOutcome::Current);
    fail(&daemon, 3);
    eventually("it runs again", || runs(&daemon, 2));
    assert_eq!(told.swaps(0, "tried").len(), 1);
}

#[test]
fn code_that_fails_as_often_as_it_may_stays_and_one_more_failure_ends_it() {
    let (daemon, told) = start("probation = \"1m\"\nmax_failures = 2", "");
    drop_build(&daemon, &told, 2);
    fail(&daemon, 2);
    eventually("it runs again", || runs(&daemon, 2));
    assert_eq!(told.swaps(0, "tried").len(), 1);
    fail(&daemon, 1);
    eventually("the build before runs", || runs(&daemon, 1));
    // What ran before is not on probation: it was good.
    fail(&daemon, 4);
    eventually("it runs again", || runs(&daemon, 1));
}

#[test]
fn code_that_cannot_even_start_again_is_rolled_back_under_load() {
    let (daemon, told) = start("probation = \"1m\"\nmax_failures = 2", "");
    let trapping = Build { traps: true, ..Build::default() }.make(2);
    put(&file(&daemon), &trapping);
    told.wait_swapped(0, "tried", &guest::sha256(&trapping));
    let callers = Callers::start(&daemon, 4, &["tried"], "build");
    told.wait(0, "the failed probation", |event| matches!(event.what, What::ProbationFailed { .. }));
    eventually("the build before runs", || runs(&daemon, 1));
    let seen = callers.made();
    eventually("it answers", || callers.made() > seen + 20);
    let answers = callers.end();
    // Three calls showed that it is no good; those that were running on it at that time may have ended the same way.
    let failed = answers.iter().filter(|answer| answer.status != 200).count();
    assert!((1..=8).contains(&failed), "{failed} of {} calls failed", answers.len());
}

#[test]
fn an_operators_code_holds_until_the_file_changes_also_over_restarts() {
    let (daemon, told) = start("", "");
    stage::swapped(&daemon, "tried", &guest::build(2));
    assert!(runs(&daemon, 2) && daemon.module("tried").differs.is_some());
    assert_eq!(generation(&daemon, 2).origin, GenerationOrigin::Operator);
    assert!(!stage::swapped(&daemon, "tried", &guest::build(2)).changed, "the same code is no swap");
    // The same bytes once more are no change of the file.
    put(&file(&daemon), guest::build(1));
    pause_for(Duration::from_millis(500));
    assert!(runs(&daemon, 2) && told.swaps(0, "tried").len() == 1);
    let (daemon, _told) = again(daemon.kill());
    assert!(runs(&daemon, 2) && daemon.module("tried").differs.is_some());
    daemon.ctl(&["restart", "tried"]);
    eventually("it runs again", || runs(&daemon, 2));
    let (daemon, told) = again(daemon.stop());
    assert!(runs(&daemon, 2));
    drop_build(&daemon, &told, 3);
    assert!(daemon.module("tried").differs.is_none());

    // A file that changes while no daemon runs counts as well.
    stage::swapped(&daemon, "tried", &guest::build(4));
    let home = daemon.stop();
    put(&home.path().join("tried.wasm"), guest::build(5));
    let (daemon, _told) = again(home);
    assert!(runs(&daemon, 5) && daemon.module("tried").differs.is_none());
}

#[test]
fn an_operator_rolls_back_to_the_code_before_and_it_stays_so() {
    let (daemon, told) = start("", "");
    let nothing = daemon.request("POST", "/v1/modules/tried/rollback", "", b"").unwrap();
    assert_eq!((nothing.status, nothing.kind().as_str()), (409, "swap-refused"), "{}", nothing.text());
    drop_build(&daemon, &told, 2);
    daemon.ctl(&["rollback", "tried"]);
    assert!(runs(&daemon, 1) && daemon.module("tried").differs.is_some());
    assert_eq!(generation(&daemon, 2).outcome, GenerationOutcome::RolledBack);
    let page = daemon.ctl(&["module", "tried"]);
    for text in [&guest::sha256(&guest::build(2))[..12], "rolled back", "differ"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let (daemon, told) = again(daemon.stop());
    assert!(runs(&daemon, 1));
    drop_build(&daemon, &told, 3);
    assert!(runs(&daemon, 3));
}
