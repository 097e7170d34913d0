//! A daemon whose guests are interpreted: it has no executable memory but that of its program, bears that the kernel forbids any
//! other, and does what one with compiled guests does.

use std::{
    collections::BTreeSet, fs, io, os::unix::process::CommandExt as _, path::Path, process::Command, time::SystemTime,
};

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, Home, command, eventually, guest_file, module};

const INTERPRETED: &str = "[daemon]\nworkers = 2\nengine = \"pulley\"\n";

/// The daemon, in a process in which nothing may become executable that was not so from the start.
fn without_new_code() -> Command {
    let mut wapcd = command(env!("CARGO_BIN_EXE_wapcd"));
    let forbid = || {
        #[allow(unsafe_code, reason = "no safe library that is used here has PR_SET_MDWE")]
        // SAFETY: it takes numbers only and touches no memory.
        let answer = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    #[allow(unsafe_code, reason = "this is how a program is started with less than its parent may")]
    // SAFETY: the closure makes one system call, which allocates nothing and takes no lock.
    unsafe {
        wapcd.pre_exec(forbid);
    }
    wapcd
}

/// Executable mappings of a process that are of no file.
fn executable_memory(pid: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let of_no_file = |line: &&str| {
        let mut columns = line.split_whitespace();
        let permissions = columns.nth(1).unwrap();
        let name = columns.nth(3).unwrap_or_default();
        permissions.contains('x') && !name.starts_with('/') && !["[vdso]", "[vsyscall]", "[uprobes]"].contains(&name)
    };
    maps.lines().filter(of_no_file).map(str::to_owned).collect()
}

/// Everything that guests do and that is done to them.
fn exercise(daemon: &Daemon) {
    for _ in 0..3 {
        assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
        assert_eq!(daemon.call("menu", "host/module/other/echo", b"through").text(), "through");
        assert_eq!(daemon.call("menu", "wait/20/echo", b"later").text(), "later");
        let trapped = daemon.call("menu", "trap", b"");
        assert_eq!(trapped.kind(), "trapped", "{}", trapped.text());
        assert!(trapped.text().contains("\"backtrace\":[\""), "{}", trapped.text());
        assert_eq!(daemon.call("menu", "grow", b"").kind(), "limit-exceeded");
        let endless = daemon.call("spinner", "spin", b"");
        assert_eq!(endless.kind(), "deadline-exceeded", "{}", endless.text());
        assert_eq!(daemon.call("rust", "echo", b"a real guest").text(), "a real guest");
    }
}

fn modules() -> String {
    let keys = "limits.call_timeout = \"1m\"\nlinks = [{ binding = \"module\", namespace = \"other\" }]\nrestart.intensity = 100\nrestart.backoff.max = \"1ms\"\n\
                restart.backoff.initial = \"1ms\"";
    let rust = guest_file("tests/guests/rust/guest.wasm");
    let spinner = module(
        "spinner",
        "limits.call_timeout = \"1s\"\nrestart.intensity = 100\nrestart.backoff.max = \"1ms\"\nrestart.backoff.initial = \"1ms\"",
    );
    format!("{}{}{spinner}[modules.rust]\npath = {rust:?}\n", module("menu", keys), module("other", ""))
}

#[test]
fn interpreted_guests_need_no_executable_memory_and_run_where_there_can_be_none() {
    let mut daemon = Home::new(&(INTERPRETED.to_owned() + &modules())).spawn_by("log", without_new_code(), &[]);
    daemon.wait_until_ready();
    exercise(&daemon);
    assert_eq!(executable_memory(daemon.pid()), [] as [String; 0]);
    // Other code, which is translated while the daemon runs.
    let answer = daemon.request(
        "POST",
        "/v1/modules/other/swap",
        "",
        &fs::read(guest_file("tests/guests/rust/guest.wasm")).unwrap(),
    );
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(daemon.call("other", "echo", b"swapped").text(), "swapped");
    assert_eq!(executable_memory(daemon.pid()), [] as [String; 0]);
    // From the cache.
    let home = daemon.stop();
    let entries = cached(home.path());
    assert!(!entries.is_empty());
    let mut daemon = home.spawn_by("log", without_new_code(), &[]);
    daemon.wait_until_ready();
    exercise(&daemon);
    assert_eq!(executable_memory(daemon.pid()), [] as [String; 0]);
    assert_eq!(names(&cached(daemon.home().path())), names(&entries), "nothing was translated again");
}

#[test]
fn compiled_guests_have_executable_memory_and_do_not_start_where_there_can_be_none() {
    let daemon = Daemon::start(&modules());
    assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
    assert_ne!(executable_memory(daemon.pid()), [] as [String; 0]);
    let mut daemon = daemon.stop().spawn_by("log", without_new_code(), &[]);
    daemon.wait_until_ready();
    eventually("it has failed", || daemon.module("menu").state == ModuleState::Failed);
    let causes = daemon.module("menu").last_exit.unwrap().causes.join(": ");
    assert!(causes.contains("executable"), "{causes}");
}

/// The entries of the cache of compiled code, each with the time of its last use.
fn cached(home: &Path) -> BTreeSet<(String, SystemTime)> {
    let entries = fs::read_dir(home.join("state/code")).unwrap().map(Result::unwrap);
    let of =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().modified().unwrap());
    entries.map(of).filter(|(name, _)| name.ends_with(".code")).collect()
}

fn names(entries: &BTreeSet<(String, SystemTime)>) -> BTreeSet<&str> {
    entries.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn no_engine_ever_loads_what_was_kept_for_the_other() {
    let daemon = Daemon::start(&module("menu", ""));
    let home = daemon.stop();
    let compiled = cached(home.path());
    assert_eq!(compiled.len(), 1);
    home.configure(&(INTERPRETED.to_owned() + &module("menu", "")));
    let daemon = home.start();
    assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
    let home = daemon.stop();
    let both = cached(home.path());
    assert_eq!((both.len(), both.is_superset(&compiled)), (2, true), "the first was not even looked at");
    // And back: each finds its own.
    home.configure(&module("menu", ""));
    let daemon = home.start();
    assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
    assert_eq!(names(&cached(daemon.home().path())), names(&both));
    assert!(!daemon.log().contains("compiled code is not usable"), "{}", daemon.log());
}

#[test]
fn another_engine_is_refused_by_a_reload() {
    let daemon = Daemon::start(&module("menu", ""));
    daemon.home().configure(&(INTERPRETED.to_owned() + &module("menu", "")));
    let refused = daemon.wapcctl(&["reload"]);
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text.contains("daemon.engine: only a restart of the daemon changes this"), "{text}");
}

#[test]
fn the_engine_of_the_command_line_is_told_and_outlives_reloads() {
    let compiled = module("menu", "engine = \"cranelift\"");
    let interpreting = ["sh", "-c", "exec \"$@\" --engine pulley", "sh"];
    let mut daemon = Home::new(&compiled).spawn_under("log", &interpreting);
    daemon.wait_until_ready();
    assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
    assert_eq!(daemon.status().engine, "pulley");
    assert!(daemon.ctl(&["status"]).contains(", engine pulley, "));
    // Neither what is added, nor what the file says of engines now, makes a difference to that.
    daemon.home().configure(&(compiled.clone() + &module("other", "")));
    daemon.ctl(&["reload"]);
    daemon.home().configure(&(INTERPRETED.to_owned() + &module("menu", "") + &module("other", "")));
    daemon.ctl(&["reload"]);
    daemon.home().configure(&(compiled + &module("other", "")));
    daemon.ctl(&["reload"]);
    assert_eq!(daemon.call("other", "echo", b"text").text(), "text");
    assert_eq!(executable_memory(daemon.pid()), [] as [String; 0]);
    // Without it, the file decides again.
    let daemon = daemon.stop().start();
    assert_eq!(daemon.status().engine, "cranelift");
}

#[test]
fn the_other_commands_interpret_as_well() {
    let home = Home::new(&(INTERPRETED.to_owned() + &modules()));
    let check = without_new_code().args(["check", "--config"]).arg(home.config()).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let call = |engine: &[&str], operation: &str| {
        let mut wapcd = without_new_code();
        wapcd.arg("call").args(engine).arg(home.path().join("menu.wasm")).args([operation, "--payload", "text"]);
        let output = wapcd.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(call(&["--engine", "pulley"], "echo"), (Some(0), "text".to_owned(), String::new()));
    let (code, _, error) = call(&["--engine=pulley"], "trap");
    assert!(code == Some(1) && error.starts_with("wapcd: the guest trapped: ") && error.contains("\n  at "), "{error}");
    let (code, _, error) = call(&[], "echo");
    assert!(code == Some(1) && error.contains("executable"), "{error}");
}

/// A command that runs another where the directory `state` bears no executable files; `None` where that takes more than this
/// process may.
fn no_execution_in(state: &Path) -> Option<Vec<String>> {
    let mount = format!("mount --bind '{0}' '{0}' && mount -o remount,bind,noexec '{0}'", state.display());
    let with = |last: &str| {
        ["unshare", "--mount", "sh", "-c", &format!("{mount} && {last}"), "sh"].map(str::to_owned).to_vec()
    };
    let trial = with("true");
    let can = Command::new(&trial[0]).args(&trial[1..]).output().is_ok_and(|output| output.status.success());
    can.then(|| with("exec \"$@\""))
}

#[test]
fn kept_code_is_used_from_a_file_system_whose_files_cannot_be_executed() {
    for daemon in ["", INTERPRETED] {
        let home = Home::new(&(daemon.to_owned() + &module("menu", "")));
        fs::create_dir(home.path().join("state")).unwrap();
        // Only root may mount; all else of this is in the tests of the cache.
        let Some(program) = no_execution_in(&home.path().join("state")) else { return };
        let home = home.start().stop();
        let before = cached(home.path());
        assert_eq!(before.len(), 1);
        let program: Vec<&str> = program.iter().map(String::as_str).collect();
        let mut daemon = home.spawn_under("log", &program);
        daemon.wait_until_ready();
        assert_eq!(daemon.call("menu", "echo", b"text").text(), "text");
        let after = cached(daemon.home().path());
        assert_eq!(names(&after), names(&before));
        assert_ne!(after, before, "it was used");
        assert!(!daemon.log().contains("compiled code is not usable"), "{}", daemon.log());
    }
}
