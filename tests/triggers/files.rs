//! Directories as inboxes: each file is a call at least once, is never taken half, and ends where it belongs.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use wapcd::{
    supervisor::status::{ServiceState, TriggerStatus},
    triggers::Detail,
};

use crate::harness::{Daemon, Home, eventually, pause_for};

/// A module that counts under the key that a file names.
const COUNTER: &str = "[bindings.cache]\ntype = \"keyvalue\"\nbackend = \"memory\"\n\
    [modules.m]\npath = \"menu.wasm\"\ninstances = 2\nlinks = [\"cache\"]\n";

const COUNT: &str = "host/cache//increment";

/// An inbox for the module, with further keys.
fn inbox(operation: &str, keys: &str) -> String {
    format!("{COUNTER}[triggers.in]\ntype = \"files\"\nmodule = \"m\"\noperation = \"{operation}\"\n{keys}\n")
}

/// A daemon whose inbox takes files.
fn start(operation: &str, keys: &str) -> Daemon {
    let daemon = Daemon::start(&inbox(operation, keys));
    wait_until_up(&daemon);
    daemon
}

fn wait_until_up(daemon: &Daemon) {
    eventually("the trigger is up", || trigger(daemon).state == ServiceState::Running);
}

fn trigger(daemon: &Daemon) -> TriggerStatus {
    daemon.status().triggers.remove(0)
}

/// Waiting, done and failed.
fn counts(daemon: &Daemon) -> (u64, u64, u64) {
    match trigger(daemon).facts.map(|facts| facts.detail) {
        Some(Detail::Files { waiting, done, failed }) => (waiting, done, failed),
        // It is not at work yet.
        None => (0, 0, 0),
        other => panic!("{other:?}"),
    }
}

fn wait_until_done(daemon: &Daemon, files: u64) {
    eventually(&format!("{files} are done"), || counts(daemon).1 == files);
}

fn dir(home: &Home) -> PathBuf {
    home.path().join("state/in")
}

/// A file that is moved in whole.
fn move_in(home: &Home, name: &str, content: impl AsRef<[u8]>) {
    let outside = home.path().join(format!("outside-{name}"));
    fs::write(&outside, content).unwrap();
    fs::rename(outside, dir(home).join(name)).unwrap();
}

fn count_of(key: &str) -> String {
    format!("{{\"key\":\"{key}\"}}")
}

/// How often the guest had the file of that key.
fn counted(daemon: &Daemon, key: &str) -> String {
    daemon.call("m", "host/cache//increment", format!("{{\"key\":\"{key}\",\"by\":0}}").as_bytes()).text()
}

fn names(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn each_file_is_a_call_and_is_moved_to_done() {
    let home = Home::new(&inbox(COUNT, ""));
    fs::create_dir_all(dir(&home)).unwrap();
    fs::write(dir(&home).join("before"), count_of("before")).unwrap();
    let daemon = home.start();
    wait_until_done(&daemon, 1);
    move_in(daemon.home(), "moved", count_of("moved"));
    fs::write(dir(daemon.home()).join("written"), count_of("written")).unwrap();
    for half in ["x.part", ".hidden", "x.tmp", "x~"] {
        fs::write(dir(daemon.home()).join(half), "half").unwrap();
    }
    wait_until_done(&daemon, 3);
    assert_eq!(names(&dir(daemon.home()).join("done")), set(["before", "moved", "written"]));
    for key in ["before", "moved", "written"] {
        assert_eq!(counted(&daemon, key), "{\"value\":1}", "{key}");
    }
    assert_eq!(counts(&daemon), (0, 3, 0));
    assert_eq!(trigger(&daemon).facts.unwrap().calls_ok, 3);
    daemon.stop();
}

#[test]
fn a_file_is_never_taken_while_it_is_written() {
    let daemon = start(COUNT, "");
    let mut file = File::create(dir(daemon.home()).join("pieces")).unwrap();
    for piece in ["{\"key\":", "\"pieces\"", "}"] {
        file.write_all(piece.as_bytes()).unwrap();
        pause_for(Duration::from_millis(300));
    }
    assert_eq!(counts(&daemon).1, 0, "somebody has it open");
    drop(file);
    wait_until_done(&daemon, 1);
    assert_eq!(counted(&daemon, "pieces"), "{\"value\":1}");
    assert_eq!(trigger(&daemon).facts.unwrap().calls_failed, 0, "half a file is no JSON");
}

#[test]
fn a_file_that_is_opened_anew_for_each_piece_is_taken_whole() {
    let daemon = Daemon::start(&format!("{}[watch]\nsettle = \"3s\"\n", inbox(COUNT, "")));
    wait_until_up(&daemon);
    // Faster than a file rests.
    for piece in ["{\"key\":", "\"again\"", "}"] {
        let mut file = File::options().create(true).append(true).open(dir(daemon.home()).join("again")).unwrap();
        file.write_all(piece.as_bytes()).unwrap();
        pause_for(Duration::from_millis(10));
    }
    wait_until_done(&daemon, 1);
    assert_eq!(trigger(&daemon).facts.unwrap().calls_failed, 0, "half a file is no JSON");
}

#[test]
fn what_takes_the_place_of_a_file_while_its_call_runs_is_processed_too() {
    let daemon = start(&format!("wait/3000/{COUNT}"), "");
    move_in(daemon.home(), "a", count_of("old"));
    eventually("it runs", || trigger(&daemon).facts.unwrap().calls_running == 1);
    move_in(daemon.home(), "a", count_of("new"));
    wait_until_done(&daemon, 1);
    for key in ["old", "new"] {
        assert_eq!(counted(&daemon, key), "{\"value\":1}", "{key}");
    }
    let done = dir(daemon.home()).join("done");
    assert_eq!(names(&done), set(["a"]));
    assert_eq!(fs::read_to_string(done.join("a")).unwrap(), count_of("new"));
}

#[test]
fn a_name_that_was_done_before_overwrites_nothing() {
    let daemon = start(COUNT, "");
    for number in 1..=3 {
        move_in(daemon.home(), "a", count_of(&number.to_string()));
        wait_until_done(&daemon, number);
    }
    let done = dir(daemon.home()).join("done");
    let contents = |name: &String| fs::read_to_string(done.join(name)).unwrap();
    let kept: BTreeSet<String> = names(&done).iter().map(contents).collect();
    assert_eq!(kept, ["1", "2", "3"].map(count_of).into());
}

#[test]
fn files_are_taken_by_their_time_and_then_by_name() {
    let home = Home::new(&inbox("log", ""));
    fs::create_dir_all(dir(&home)).unwrap();
    for number in 0..20_u64 {
        let path = dir(&home).join(format!("{number:02}"));
        fs::write(&path, format!("<{number:02}>")).unwrap();
        // The later half is older; within a half all are of one moment.
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(if number < 10 { 2_000_000 } else { 1_000_000 });
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }
    // One that was just written is not taken before it rests, whatever its place in the order.
    let last = fs::metadata(dir(&home).join("19")).unwrap();
    let changed = Duration::new(last.ctime() as u64, last.ctime_nsec() as u32);
    eventually("all files rest", || SystemTime::UNIX_EPOCH.elapsed().unwrap() > changed + Duration::from_secs(1));
    let daemon = home.start();
    wait_until_up(&daemon);
    wait_until_done(&daemon, 20);
    daemon.log_line(&["<09>"]);
    let log = daemon.log();
    let places: Vec<_> = (10..20).chain(0..10).map(|number| log.find(&format!("<{number:02}>")).unwrap()).collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn an_inbox_is_looked_at_also_where_files_are_not_watched() {
    let daemon = Daemon::start(&format!("{}[watch]\nmode = \"off\"\npoll = \"100ms\"\n", inbox(COUNT, "")));
    wait_until_up(&daemon);
    move_in(daemon.home(), "a", count_of("a"));
    wait_until_done(&daemon, 1);
}

#[test]
fn a_thousand_files_are_each_processed_once() {
    let home = Home::new(&inbox(COUNT, ""));
    fs::create_dir_all(dir(&home)).unwrap();
    for number in 0..1_000 {
        fs::write(dir(&home).join(format!("{number:04}")), count_of(&format!("k{}", number % 10))).unwrap();
    }
    let daemon = home.start();
    wait_until_up(&daemon);
    for hundreds in 1..=10 {
        eventually("a hundred more are done", || counts(&daemon).1 >= hundreds * 100);
    }
    wait_until_done(&daemon, 1_000);
    for key in 0..10 {
        assert_eq!(counted(&daemon, &format!("k{key}")), "{\"value\":100}");
    }
    assert_eq!(names(&dir(daemon.home()).join("done")).len(), 1_000);
    assert!(daemon.log().lines().count() < 100, "the log is flooded");
}

#[test]
fn a_file_whose_calls_fail_goes_to_failed_with_its_error_beside_it() {
    let daemon = start("fail", "attempts = 2\nretry_delay = \"20ms\"\nenvelope = \"json\"");
    move_in(daemon.home(), "a.txt", "why not");
    eventually("it failed", || counts(&daemon).2 == 1);
    let failed = dir(daemon.home()).join("failed");
    assert_eq!(names(&failed), set(["a.txt", "a.txt.error"]));
    assert_eq!(fs::read_to_string(failed.join("a.txt")).unwrap(), "why not");
    let error = fs::read_to_string(failed.join("a.txt.error")).unwrap();
    // The guest's error is what it got.
    for part in ["time: 20", "call: ", "attempts: 2", "\"name\":\"a.txt\",\"size\":7,\"modified\":", "d2h5IG5vdA=="] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let facts = trigger(&daemon).facts.unwrap();
    assert_eq!((facts.calls_ok, facts.calls_failed), (0, 2));
    daemon.log_line(&["trigger has trouble", "gave `a.txt` up"]);
}

#[test]
fn a_file_that_makes_the_guest_trap_fails_while_others_go_on() {
    let daemon = start("trap", "attempts = 2\nretry_delay = \"50ms\"");
    move_in(daemon.home(), "a", "");
    eventually("it failed", || counts(&daemon).2 == 1);
    let error = fs::read_to_string(dir(daemon.home()).join("failed/a.error")).unwrap();
    assert!(error.contains("unreachable"), "{error}");
}

#[test]
fn what_is_too_large_fails_and_what_is_no_file_is_left_alone() {
    let daemon = start(COUNT, "max_size = \"64B\"");
    let home = daemon.home();
    fs::write(home.path().join("secret"), count_of("secret")).unwrap();
    symlink(home.path().join("secret"), dir(home).join("link")).unwrap();
    mknodat(CWD, dir(home).join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    fs::create_dir(dir(home).join("folder")).unwrap();
    move_in(home, "large", [b' '; 65]);
    move_in(home, "small", count_of("small"));
    wait_until_done(&daemon, 1);
    eventually("the large one failed", || counts(&daemon).2 == 1);
    let error = fs::read_to_string(dir(home).join("failed/large.error")).unwrap();
    assert!(error.contains("attempts: 0") && error.contains("over the limit of 64 bytes"), "{error}");
    for (name, what) in [("link", "a symbolic link"), ("pipe", "a pipe"), ("folder", "a directory")] {
        daemon.log_line(&[&format!("`{name}` stays where it is"), what]);
    }
    pause_for(Duration::from_millis(200));
    assert_eq!(names(&dir(home)), set(["done", "failed", "folder", "link", "pipe"]));
    assert_eq!(daemon.log().matches("a symbolic link").count(), 1, "it is told once");
    assert_eq!(counted(&daemon, "secret"), "{\"value\":0}");
}

#[test]
fn after_a_kill_in_the_middle_every_file_has_been_processed() {
    const FILES: usize = 300;
    let toml = inbox(&format!("wait/20/{COUNT}"), "concurrency = 2");
    let toml = toml.replace("backend = \"memory\"", "backend = \"redb\"\npath = \"cache.redb\"");
    let home = Home::new(&toml);
    fs::create_dir_all(dir(&home)).unwrap();
    for number in 0..FILES {
        fs::write(dir(&home).join(number.to_string()), count_of(&format!("k{number}"))).unwrap();
    }
    let daemon = home.start();
    wait_until_up(&daemon);
    eventually("some are done", || counts(&daemon).1 > 20);
    let home = daemon.kill();
    let left = names(&dir(&home)).len() - 2;
    assert!(left > 0 && left < FILES, "{left} are left");
    let daemon = home.start();
    wait_until_up(&daemon);
    wait_until_done(&daemon, left as u64);
    assert_eq!(names(&dir(daemon.home()).join("done")).len(), FILES);
    for number in 0..FILES {
        let count = counted(&daemon, &format!("k{number}"));
        assert!(["{\"value\":1}", "{\"value\":2}"].contains(&&*count), "{number}: {count}");
    }
}

#[test]
fn many_that_could_not_be_moved_away_are_moved_when_they_can_be() {
    const FILES: u64 = 80;
    let daemon = start("fail", "attempts = 1");
    let failed = dir(daemon.home()).join("failed");
    fs::remove_dir(&failed).unwrap();
    fs::write(&failed, "in the way").unwrap();
    for number in 0..FILES {
        move_in(daemon.home(), &number.to_string(), "no");
    }
    // Then no others are begun.
    eventually("as many are stuck as may be", || trigger(&daemon).facts.unwrap().calls_failed >= 64);
    fs::remove_file(&failed).unwrap();
    eventually("all are moved", || counts(&daemon) == (0, 0, FILES));
    assert_eq!(trigger(&daemon).facts.unwrap().calls_failed, FILES);
}

#[test]
fn what_cannot_be_moved_away_stays_without_being_called_again_and_again() {
    let daemon = start("fail", "attempts = 1");
    let failed = dir(daemon.home()).join("failed");
    fs::remove_dir(&failed).unwrap();
    fs::write(&failed, "in the way").unwrap();
    move_in(daemon.home(), "a", "no");
    daemon.log_line(&["`a` stays where it is", "cannot use the directory"]);
    pause_for(Duration::from_millis(700));
    let facts = trigger(&daemon).facts.unwrap();
    assert_eq!((facts.calls_failed, counts(&daemon)), (1, (1, 0, 0)));
    assert!(facts.last_error.unwrap().contains("cannot be moved away"));
    fs::remove_file(&failed).unwrap();
    eventually("it is moved", || counts(&daemon) == (0, 0, 1));
    assert_eq!(names(&failed), set(["a", "a.error"]));
    assert_eq!(trigger(&daemon).facts.unwrap().calls_failed, 1);
    assert_eq!(daemon.log().matches("stays where it is").count(), 1);
}

#[test]
fn a_reload_changes_whom_the_next_file_is_for() {
    let daemon = start(COUNT, "");
    move_in(daemon.home(), "a", count_of("a"));
    wait_until_done(&daemon, 1);
    daemon.home().configure(&inbox("fail", "attempts = 1"));
    daemon.ctl(&["reload"]);
    move_in(daemon.home(), "b", count_of("b"));
    eventually("the second failed", || counts(&daemon) == (0, 1, 1));
    assert_eq!(trigger(&daemon).restarts, 0);
}

#[test]
fn what_is_done_can_be_removed() {
    let daemon = start(COUNT, "after = \"delete\"");
    move_in(daemon.home(), "a", count_of("a"));
    wait_until_done(&daemon, 1);
    assert_eq!(counted(&daemon, "a"), "{\"value\":1}");
    assert_eq!(names(&dir(daemon.home())), set(["done", "failed"]));
    assert!(names(&dir(daemon.home()).join("done")).is_empty());
}

#[test]
fn a_module_that_is_stopped_does_not_empty_the_inbox() {
    let daemon = start(COUNT, "attempts = 1\nretry_delay = \"0ms\"");
    daemon.ctl(&["stop", "m"]);
    for number in 0..20 {
        move_in(daemon.home(), &number.to_string(), count_of("k"));
    }
    eventually("a call was refused", || trigger(&daemon).facts.unwrap().calls_failed > 1);
    pause_for(Duration::from_millis(500));
    let refused = trigger(&daemon).facts.unwrap().calls_failed;
    assert!(refused < 20, "{refused} calls to a module that is stopped");
    assert_eq!(names(&dir(daemon.home())).len(), 22);
    daemon.ctl(&["start", "m"]);
    wait_until_done(&daemon, 20);
    assert_eq!(counts(&daemon), (0, 20, 0));
    assert_eq!(counted(&daemon, "k"), "{\"value\":20}");
}

#[test]
fn a_stop_lets_the_file_that_runs_end_and_takes_no_other() {
    let daemon = start(&format!("wait/3000/{COUNT}"), "");
    for name in ["a", "b", "c"] {
        move_in(daemon.home(), name, count_of(name));
    }
    eventually("one runs", || trigger(&daemon).facts.unwrap().calls_running == 1);
    let home = daemon.stop();
    assert_eq!(names(&dir(&home).join("done")), set(["a"]));
    assert_eq!(names(&dir(&home)), set(["b", "c", "done", "failed"]));
}

#[test]
fn an_inbox_that_goes_away_is_told_and_waited_for() {
    let daemon = start(COUNT, "");
    let (inbox, aside) = (dir(daemon.home()), daemon.home().path().join("aside"));
    fs::rename(&inbox, &aside).unwrap();
    daemon.log_line(&["trigger has trouble", "cannot be looked into"]);
    fs::create_dir(&inbox).unwrap();
    move_in(daemon.home(), "a", count_of("a"));
    wait_until_done(&daemon, 1);
    assert_eq!(names(&inbox.join("done")), set(["a"]));
    daemon.log_line(&["inbox is there again"]);
}

#[test]
fn an_inbox_that_cannot_be_made_is_told_and_refused_by_a_reload() {
    let home = Home::new(&inbox(COUNT, "dir = \"../file/in\""));
    home.write("file", "in the way");
    let daemon = home.start();
    daemon.log_line(&["cannot use the directory", "file/in"]);
    daemon.home().configure(&inbox(COUNT, ""));
    daemon.ctl(&["reload"]);
    wait_until_up(&daemon);
    daemon.home().configure(&inbox(COUNT, "dir = \"../file/in\""));
    assert!(!daemon.wapcctl(&["reload"]).status.success());
    move_in(daemon.home(), "a", count_of("a"));
    wait_until_done(&daemon, 1);
    daemon.signal(Signal::TERM);
    let mut daemon = daemon;
    daemon.wait();
}
