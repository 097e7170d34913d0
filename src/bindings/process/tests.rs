//! The program as it answers and as it fails: a real one, which does what it is asked, right or wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::{
    bindings::{
        Answer, BackendState, BindingCall, BindingContext, BindingFactory, BindingReply, ModuleCaller, start_backend,
        testing::call,
    },
    config::{Binding, BindingSettings, ProcessSettings, Shutdown},
};

/// How long anything may take that should happen soon. Only a failure takes so long.
const SOON: Duration = Duration::from_secs(20);

struct Nobody;

impl ModuleCaller for Nobody {
    fn call(&self, call: BindingCall) -> Answer {
        call.no_such_operation("module", &[]).into()
    }
}

/// A program that runs, with what it needs.
struct Program {
    factory: Arc<dyn BindingFactory>,
    context: BindingContext,
}

fn settings(how: &[&str]) -> ProcessSettings {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("src/bindings/process/tests.py").to_str().unwrap().to_owned();
    let library = root.join("examples/process").to_str().unwrap().to_owned();
    let env = [("PYTHONPATH", library), ("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
    ProcessSettings {
        command: "python3".into(),
        args: [script].into_iter().chain(how.iter().map(|how| (*how).to_owned())).collect(),
        env: env.map(|(name, value)| (name.to_owned(), value)).into(),
        directory: None,
        start_timeout: SOON,
    }
}

fn start_with(
    settings: ProcessSettings,
    change: impl FnOnce(&mut Binding, &mut BindingContext),
) -> Result<Program, String> {
    let mut binding = Binding::with_defaults("geo", BindingSettings::Process(settings));
    let mut context = BindingContext::new(Arc::new(Nobody));
    change(&mut binding, &mut context);
    let factory = start_backend(&binding, &context).map_err(|error| crate::host::chain(&error))?;
    Ok(Program { factory, context })
}

fn start(how: &[&str]) -> Program {
    start_with(settings(how), |_, _| {}).unwrap_or_else(|error| panic!("{error}"))
}

impl Program {
    async fn ask(&self, operation: &str, payload: &str) -> Result<String, String> {
        self.ask_for(operation, payload, SOON).await
    }

    async fn ask_for(&self, operation: &str, payload: &str, time: Duration) -> Result<String, String> {
        let reply = tokio::time::timeout(time, self.submit(operation, payload)).await;
        let reply = reply.map_err(|_elapsed| "nobody waits any longer".to_owned())?;
        reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
    }

    fn submit(&self, operation: &str, payload: &str) -> impl Future<Output = BindingReply> + use<> {
        let answer = self.factory.make(0).call(call(operation, payload));
        async move {
            match answer {
                Answer::Now(reply) => reply,
                Answer::Later(reply) => reply.await,
            }
        }
    }

    async fn json(&self, operation: &str, payload: &str) -> Value {
        serde_json::from_str(&self.ask(operation, payload).await.unwrap()).unwrap()
    }

    async fn pid(&self) -> Pid {
        pid(&self.json("surroundings", "").await["pid"])
    }

    /// How the program ended by itself.
    async fn ended(&self) -> String {
        tokio::time::timeout(SOON, self.factory.ended().unwrap()).await.unwrap_or_else(|_elapsed| panic!("it goes on"))
    }

    /// Stops it on a thread that may block, and says how long that took.
    async fn stop(self) -> Duration {
        let since = Instant::now();
        tokio::task::spawn_blocking(move || {
            self.factory.stop();
            self.factory.stop();
            drop(self.context);
        })
        .await
        .unwrap();
        since.elapsed()
    }
}

fn pid(value: &Value) -> Pid {
    Pid::from_raw(value.as_i64().unwrap().try_into().unwrap()).unwrap()
}

/// Waits until a process is gone, its entry in the table of processes included.
async fn gone(pid: Pid) {
    let since = Instant::now();
    while test_kill_process(pid).is_ok() && !is_orphan_zombie(pid) {
        assert!(since.elapsed() < SOON, "process {pid:?} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process is dead, and waits for whoever took it over as an orphan to notice.
fn is_orphan_zombie(pid: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let own = format!("PPid:\t{}\n", std::process::id());
    status.contains("State:\tZ") && !status.contains(&own)
}

#[tokio::test]
async fn requests_go_through_as_they_are_with_the_facts_about_the_caller() {
    let program = start(&[]);
    assert_eq!(program.ask("echo", "").await.unwrap(), "");
    assert_eq!(program.ask("echo", &"x".repeat(300_000)).await.unwrap().len(), 300_000);
    let facts = program.json("facts", "").await;
    let left = facts["deadline_ms"].as_u64().unwrap();
    assert!((1..=30_000).contains(&left), "{facts}");
    assert_eq!((&facts["module"], &facts["instance"], &facts["call"]), (&"tester".into(), &7.into(), &42.into()));
    assert_eq!((&facts["operation"], &facts["namespace"]), (&"facts".into(), &"".into()));
    assert_eq!(program.ask("fail", "not_found:no such town").await.unwrap_err(), "not_found: no such town");
    assert_eq!(program.ask("fail", "Oops:bad").await.unwrap_err(), "internal: Oops: bad");
    assert_eq!(program.ask("fail", "not_granted:x").await.unwrap_err(), "internal: not_granted: x");
    assert_eq!(program.factory.backend().unwrap().state, BackendState::Connected);
    program.factory.check().unwrap().await.unwrap();
    program.stop().await;
}

#[tokio::test]
async fn it_has_its_own_environment_directory_and_group_and_no_more() {
    let home = tempfile::tempdir().unwrap();
    let mut settings = settings(&["a b", "$HOME"]);
    settings.env.insert("CITY".to_owned(), "Zürich".to_owned());
    let program = start_with(settings, |_, context| context.state_dir = home.path().to_owned()).unwrap();
    let facts = program.json("surroundings", "").await;
    let mut names: Vec<&str> = facts["env"].as_object().unwrap().keys().map(String::as_str).collect();
    // What the interpreter itself, and what starts it, add.
    names.retain(|name| !name.starts_with("LC_") && !name.contains("PYENV") && !["_", "PWD", "SHLVL"].contains(name));
    assert_eq!(names, ["CITY", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"]);
    assert_eq!((&facts["env"]["CITY"], &facts["group"]), (&"Zürich".into(), &true.into()));
    assert_eq!(facts["cwd"], home.path().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(facts["args"], serde_json::json!(["a b", "$HOME"]));
    program.stop().await;
}

#[tokio::test]
async fn many_calls_are_in_flight_and_answered_in_any_order() {
    let program = start(&[]);
    let kept: Vec<_> = (0..200).map(|_| program.submit("keep", "")).collect();
    program.ask("reverse", "").await.unwrap();
    for kept in kept {
        assert_eq!(kept.await.unwrap(), "kept");
    }
    program.stop().await;
}

#[tokio::test]
async fn what_nobody_waits_for_is_cancelled_and_a_late_answer_is_taken() {
    let program = start(&[]);
    let kept = program.submit("keep", "");
    // Answered behind what was asked before: that was written, and nobody waits for it from here on.
    program.ask("echo", "").await.unwrap();
    drop(kept);
    assert_eq!(program.json("cancelled", "").await, serde_json::json!([1]));
    program.ask("late", "").await.unwrap();
    assert_eq!(program.ask("echo", "well").await.unwrap(), "well");
    program.stop().await;
}

#[tokio::test]
async fn operations_that_it_does_not_name_are_answered_without_it() {
    let program = start(&["few"]);
    assert_eq!(program.ask("echo", "x").await.unwrap(), "x");
    let error = program.ask("die", "").await.unwrap_err();
    assert_eq!(error, "no_such_operation: binding `geo` has no operation `die`: echo");
    program.stop().await;
}

#[tokio::test]
async fn whatever_it_does_wrong_ends_it_and_answers_what_waits_with_the_reason() {
    for (operation, why) in [
        ("die", "exit code 5; its last line: I die"),
        ("kill", "signal 9"),
        ("garbage", "it wrote b\"Trac\" where the length of a message should be: at most "),
        ("text", "it wrote a message that is none: expected a map in MessagePack; it begins with b\"{\\\"id\\\": 1}\""),
        ("half", "its output ended after 5 of 104 bytes of a message: exit code 6"),
        ("huge", "it wrote b\"\\xff\\xff\\xff\\xff\" where"),
        ("unknown", "it answered 1000000, which it was not asked, or has answered before"),
        ("flood", "it wrote a message that is none: expected a map"),
        ("mute", "it closed its input or output, and did not end"),
    ] {
        let program = start(&[]);
        let pid = program.pid().await;
        let (kept, since) = (program.submit("keep", ""), Instant::now());
        let error = program.ask(operation, "").await.unwrap_err();
        assert_eq!(error, "unavailable: the program of binding `geo` has ended", "{operation}");
        assert_eq!(kept.await.unwrap_err().to_string(), error);
        assert!(since.elapsed() < SOON, "{operation} took {:?}", since.elapsed());
        let ended = program.ended().await;
        assert!(ended.starts_with(why), "{operation}: {ended}");
        assert_eq!(program.ask("echo", "").await.unwrap_err(), error);
        let status = program.factory.backend().unwrap();
        assert!(status.state == BackendState::Disconnected && status.why.unwrap().starts_with(why));
        assert!(program.factory.check().unwrap().await.unwrap_err().contains(why));
        gone(pid).await;
        program.stop().await;
    }
}

#[tokio::test]
async fn an_answer_given_twice_ends_it_after_the_first_was_taken() {
    let program = start(&[]);
    assert_eq!(program.ask("twice", "").await.unwrap(), "one");
    let why = program.ended().await;
    assert!(why.starts_with("it answered 1, which it was not asked, or has answered before"), "{why}");
    program.stop().await;
}

#[tokio::test]
async fn what_it_answers_before_it_ends_counts() {
    let program = start(&[]);
    assert_eq!(program.ask("answer_and_die", "").await.unwrap(), "last");
    assert_eq!(program.ended().await, "exit code 0");
    program.stop().await;
}

#[tokio::test]
async fn one_that_hangs_holds_up_its_calls_and_nothing_else() {
    let program = start(&[]);
    let short = Duration::from_millis(200);
    let hanging = program.submit("hang", "");
    // More than its pipe takes: what it does not read waits here, and is dropped with who waits for it.
    for _ in 0..8 {
        assert!(program.ask_for("echo", &"x".repeat(100_000), short).await.is_err());
    }
    assert!(tokio::time::timeout(short, program.factory.check().unwrap()).await.is_err());
    let other = start(&[]);
    assert_eq!(other.ask("echo", "x").await.unwrap(), "x");
    drop(hanging);
    let (pid, _) = (other.pid().await, other.stop().await);
    gone(pid).await;
    program.stop().await;
}

#[tokio::test]
async fn a_flood_of_lines_holds_up_neither_it_nor_its_calls() {
    let program = start(&[]);
    let (chatter, echo) = tokio::join!(program.ask("chatter", "200000"), program.ask("echo", "x"));
    assert_eq!((chatter.unwrap(), echo.unwrap()), (String::new(), "x".to_owned()));
    program.stop().await;
}

#[tokio::test]
async fn a_stop_lets_it_finish_what_it_has() {
    let program = start(&["work"]);
    let pid = program.pid().await;
    let kept = program.submit("keep", "");
    let took = program.stop().await;
    assert_eq!(kept.await.unwrap(), "done");
    assert!(took < SOON, "{took:?}");
    gone(pid).await;
}

#[tokio::test]
async fn one_that_ignores_the_end_and_the_signal_is_killed_within_its_time() {
    // A quarter of it is left for a machine that is busy with something else.
    let shutdown = Duration::from_secs(12);
    let program =
        start_with(settings(&["stubborn"]), |binding, _| binding.shutdown = Shutdown::After(shutdown)).unwrap();
    let pid = program.pid().await;
    let kept = program.submit("keep", "");
    let took = program.stop().await;
    assert!((shutdown / 2..shutdown).contains(&took), "{took:?}");
    let error = kept.await.unwrap_err().to_string();
    assert!(error.ends_with("has ended"), "{error}");
    gone(pid).await;
    let program = start_with(settings(&["stubborn"]), |binding, _| binding.shutdown = Shutdown::Kill).unwrap();
    let pid = program.pid().await;
    assert!(program.stop().await < shutdown / 2);
    gone(pid).await;
}

#[tokio::test]
async fn what_it_has_started_ends_with_it_however_it_ends() {
    for operation in ["", "die", "kill", "garbage"] {
        let program = start(&[]);
        let grandchild = pid(&program.json("grandchild", "").await);
        test_kill_process(grandchild).unwrap();
        if !operation.is_empty() {
            program.ask(operation, "").await.unwrap_err();
        }
        program.stop().await;
        gone(grandchild).await;
    }
}

#[tokio::test]
async fn a_signal_from_outside_is_told() {
    let program = start(&[]);
    kill_process(program.pid().await, Signal::TERM).unwrap();
    assert_eq!(program.ended().await, "signal 15");
    program.stop().await;
}

#[tokio::test]
async fn a_factory_that_is_dropped_leaves_no_process() {
    let program = start(&["stubborn"]);
    let pid = program.pid().await;
    let Program { factory, context } = program;
    drop(factory);
    gone(pid).await;
    drop(context);
}

#[test]
fn one_that_does_not_get_ready_is_a_clear_error() {
    let quick = |how: &[&str]| ProcessSettings { start_timeout: Duration::from_millis(500), ..settings(how) };
    let command = |command: &str| ProcessSettings { command: command.into(), ..settings(&[]) };
    let plain = tempfile::NamedTempFile::new().unwrap();
    let nowhere = ProcessSettings { directory: Some("/nowhere/at/all".into()), ..settings(&[]) };
    let file = plain.path().to_str().unwrap();
    for (settings, expected) in [
        (settings(&["exit"]), "`python3`: exit code 3; its last line: no way"),
        (quick(&["silent"]), "`python3`: it was not ready within 500 ms"),
        (settings(&["talk"]), "`python3`: it wrote b\"Hell\" where the length of a message should be: at most "),
        (command("/nowhere/geo"), "`/nowhere/geo`: No such file or directory (os error 2)"),
        (command("no-such-program-anywhere"), "`no-such-program-anywhere`: No such file or directory (os error 2)"),
        (command(file), "`: Permission denied (os error 13)"),
        (command("true"), "`true`: exit code 0"),
        (nowhere, "`python3`: its directory `/nowhere/at/all` is not there"),
    ] {
        let error = start_with(settings, |_, _| {}).map(|_| ()).unwrap_err();
        assert!(error.starts_with("binding `geo`: cannot start the program `") && error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn one_that_ends_once_it_is_ready_has_started_and_ended() {
    // The end may come before the start is told; whoever starts it hears of it in one way or the other.
    match start_with(settings(&["brief"]), |_, _| {}) {
        Ok(program) => {
            assert_eq!(program.ended().await, "exit code 4");
            program.stop().await;
        }
        Err(error) => assert!(error.ends_with("exit code 4"), "{error}"),
    }
}
