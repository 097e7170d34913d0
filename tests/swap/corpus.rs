//! Broken files in place of a good one: the code that runs goes on, and the status says why.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use wapcd::{
    host::{EngineSettings, HostOptions, Limits, LoadError, WapcHostAsync, WasiParams, WasmtimeEngine, chain},
    supervisor::{
        compile,
        status::{GenerationOutcome, ModuleState},
    },
};

use crate::{
    broken::{Broken, CALL_TIMEOUT_MS, File, MEMORY, MODULE_SIZE, PATIENT_MS, corpus, endless, limits, remove},
    callers::Callers,
    guest,
    harness::{Daemon, Home, pause_for},
    stage::{self, Kept, last_swap_error, module},
    told::Told,
};

/// How long it may take until a file is refused: some take the compiler many seconds where it shares its core.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the host says of a file, without a daemon.
fn said_of(engine: &WasmtimeEngine, path: &Path) -> Option<String> {
    let module = match compile(engine, path, MODULE_SIZE as u64) {
        Ok(module) => module,
        Err(error) => return Some(chain(&error)),
    };
    let deadline = Some(Duration::from_millis(CALL_TIMEOUT_MS));
    let limits = Limits { memory: MEMORY, deadline, ..Limits::default() };
    let options = HostOptions { limits, ..HostOptions::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let host = WapcHostAsync::with_options(Box::new(module.provider(WasiParams::default())), None, options);
    let started: Result<WapcHostAsync, LoadError> = runtime.block_on(host);
    started.err().map(|error| chain(&error))
}

#[test]
fn every_file_of_the_corpus_is_broken_for_the_reason_that_it_names() {
    let engine = WasmtimeEngine::new(EngineSettings { instances: 4, ..EngineSettings::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.wasm");
    let corpus = corpus();
    assert!(corpus.len() >= 50, "{}", corpus.len());
    let wrong: Vec<_> = corpus
        .iter()
        .chain([&endless()])
        .filter_map(|broken| {
            broken.put(&path);
            let said = said_of(&engine, &path);
            let right = said.as_ref().is_some_and(|said| said.contains(broken.reason));
            (!right).then(|| format!("{}: not `{}` but {said:?}", broken.name, broken.reason))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    fs::remove_dir(&path).unwrap_or_default();
}

/// A daemon whose module `victim` answers as build 1, with calls of so many milliseconds.
fn victim(call_timeout_ms: u64) -> (Daemon, Told) {
    let home = Home::new(&format!("[watch]\nsettle = \"50ms\"\n{}", module("victim", &limits(call_timeout_ms))));
    home.write("victim.wasm", guest::build(1));
    let daemon = home.start();
    let told = Told::follow(&daemon);
    (daemon, told)
}

/// Waits until the status gives the reason for what lies at the path.
fn assert_told(daemon: &Daemon, broken: &Broken, failures: impl Fn() -> usize) {
    let (start, mut said) = (Instant::now(), String::new());
    while !(said.contains(broken.reason) && failures() > 0) {
        assert!(start.elapsed() < PATIENCE, "{}: not `{}` but {said:?}", broken.name, broken.reason);
        pause_for(Duration::from_millis(5));
        said = last_swap_error(&daemon.module("victim"));
    }
}

/// Drops broken files over the running one, with what puts them there, while a client calls all the time.
fn drop_over(daemon: &Daemon, told: &Told, corpus: &[Broken], put: impl Fn(&Broken, &Path)) {
    let path = daemon.home().path().join("victim.wasm");
    let before = Kept::of(&daemon.module("victim"));
    let callers = Callers::start(daemon, 1, &["victim"], "build");
    for broken in corpus {
        let seen = told.count();
        put(broken, &path);
        assert_told(daemon, broken, || told.failures(seen, "victim").len());
        assert_eq!(Kept::of(&daemon.module("victim")), before, "{}", broken.name);
        let page = daemon.ctl(&["module", "victim"]);
        assert!(page.contains(broken.reason), "{}: {page}", broken.name);
    }
    let answers = callers.end();
    let wrong: Vec<_> = answers.iter().filter(|answer| (answer.status, &*answer.text) != (200, "00000001")).collect();
    assert!(wrong.is_empty(), "{} of {} calls: {:?}", wrong.len(), answers.len(), wrong.first());
    let status = daemon.module("victim");
    assert_eq!((status.state, status.restarts), (ModuleState::Running, 0));
    assert!(status.generations.iter().any(|generation| generation.outcome == GenerationOutcome::Refused), "{status:?}");
    assert_eq!(told.swaps(0, "victim"), []);

    // What was wrong before does not stand in the way of what is right.
    remove(&path);
    stage::put(&path, guest::build(2));
    told.wait_swapped(0, "victim", &guest::sha256(&guest::build(2)));
    assert_eq!(stage::running_build(daemon, "victim"), guest::name(2));
    assert!(daemon.module("victim").last_swap_error.is_none());
}

#[test]
fn the_old_code_answers_every_call_while_broken_files_are_renamed_over_its_file() {
    let (daemon, told) = victim(PATIENT_MS);
    drop_over(&daemon, &told, &corpus(), Broken::put);
}

#[test]
fn the_old_code_answers_every_call_while_its_file_is_overwritten_with_broken_ones() {
    let (daemon, told) = victim(PATIENT_MS);
    let corpus: Vec<_> = corpus().into_iter().filter(|broken| matches!(broken.file, File::Bytes(_))).collect();
    let corpus: Vec<_> = corpus.into_iter().step_by(stage::sized(5, 1)).collect();
    drop_over(&daemon, &told, &corpus, |broken, path| match &broken.file {
        File::Bytes(bytes) => fs::write(path, bytes).unwrap(),
        other => unreachable!("{other:?} cannot be written"),
    });
}

#[test]
fn code_that_never_ends_its_start_is_given_up_after_the_time_of_a_call() {
    let (daemon, told) = victim(CALL_TIMEOUT_MS);
    let (before, endless) = (Kept::of(&daemon.module("victim")), endless());
    endless.put(&daemon.home().path().join("victim.wasm"));
    assert_told(&daemon, &endless, || told.failures(0, "victim").len());
    let File::Bytes(bytes) = &endless.file else { unreachable!("it is a guest") };
    let answer = stage::swap(&daemon, "victim", bytes);
    assert_eq!((answer.status, answer.kind().as_str()), (422, "swap-failed"), "{}", answer.text());
    assert!(answer.detail().contains(endless.reason), "{}", answer.detail());
    assert_eq!(Kept::of(&daemon.module("victim")), before);
}

#[test]
fn an_operator_who_sends_broken_code_is_told_what_is_wrong_with_it() {
    let (daemon, told) = victim(PATIENT_MS);
    let before = Kept::of(&daemon.module("victim"));
    for broken in corpus() {
        let File::Bytes(bytes) = &broken.file else { continue };
        let answer = stage::swap(&daemon, "victim", bytes);
        assert_eq!((answer.status, answer.kind().as_str()), (422, "swap-failed"), "{}: {}", broken.name, answer.text());
        assert!(answer.detail().contains(broken.reason), "{}: {}", broken.name, answer.detail());
        assert_eq!(Kept::of(&daemon.module("victim")), before, "{}", broken.name);
    }
    assert_eq!(stage::running_build(&daemon, "victim"), guest::name(1));
    assert_eq!(told.swaps(0, "victim"), []);
}
