//! Guests of every toolchain, through the daemon: what they answer, how they fail, and what the daemon says of it.

use std::time::{Duration, Instant};

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, eventually, guest_file, module, own_host};

/// The guests of `tests/guests`, with the limits that the menu's failures need.
const LANGUAGES: [&str; 5] = ["rust", "assemblyscript", "c", "c-wasi", "zig"];

const LIMITS: &str = "[defaults.limits]\ncall_timeout = \"2s\"\nmemory = \"12 MiB\"\n";

/// All guests; what they call as `test`, namespace `echo`, is the module `echo`.
fn toolchains() -> Daemon {
    let mut toml = format!("{LIMITS}{}{}", module("menu", ""), module("echo", ""));
    for language in LANGUAGES {
        let path = guest_file(&format!("tests/guests/{language}/guest.wasm"));
        toml.push_str(&format!("[modules.{language}]\npath = {:?}\n", path.to_str().unwrap()));
        toml.push_str("links = [{ binding = \"test\", namespace = \"echo\", to = \"module\" }]\n");
    }
    Daemon::start(&toml)
}

// protocol: console.fields
#[test]
fn guests_of_every_toolchain_answer_fail_and_log() {
    let daemon = toolchains();
    for language in LANGUAGES.into_iter().chain(["menu"]) {
        let echo = daemon.call(language, "echo", b"\0 raw \xff");
        assert_eq!((echo.status, echo.body.as_slice()), (200, b"\0 raw \xff".as_slice()), "{language}");
        assert_eq!(daemon.call(language, "echo", b"").outcome(), (200, String::new()), "{language}");
        let fail = daemon.call(language, "fail", b"because");
        assert_eq!((fail.status, fail.kind().as_str()), (422, "guest-error"), "{language}");
        assert!(fail.detail().ends_with("because"), "{language}: {}", fail.detail());
        let unknown = daemon.call(language, "x", b"");
        assert_eq!(unknown.status, 422, "{language}");
        let log = daemon.call(language, "log", format!("a line of {language}").as_bytes());
        assert_eq!(log.status, 200, "{language}");
        let line = daemon.log_line(&[&format!("a line of {language}\"")]);
        assert_eq!(line["module"], language);
        assert_eq!(line["instance"], log.instance().unwrap());
        assert_eq!(line["call"].to_string(), log.header("wapcd-call-id").unwrap());
        assert_eq!(log.header("wapcd-module"), Some(language));
        assert_eq!(log.header("wapcd-generation"), Some("1"));
    }
}

#[test]
fn guests_of_every_toolchain_reach_what_their_links_name() {
    let daemon = toolchains();
    for language in LANGUAGES {
        let echo = daemon.call(language, "host_echo", b"\0 there and back \xff");
        assert_eq!((echo.status, echo.body.as_slice()), (200, b"\0 there and back \xff".as_slice()), "{language}");
    }
    daemon.ctl(&["stop", "echo"]);
    for language in LANGUAGES {
        let (status, text) = daemon.call(language, "host_echo", b"").outcome();
        assert_eq!(status, 422, "{language}");
        assert!(text.ends_with("unavailable: module `echo` is stopped"), "{language}: {text}");
    }
}

#[test]
fn a_guest_of_every_toolchain_that_traps_spins_or_grows_is_replaced_by_a_fresh_one() {
    let daemon = toolchains();
    for language in LANGUAGES {
        let state = || daemon.call(language, "state", b"").outcome();
        assert_eq!(state(), (200, "1".to_owned()), "{language}");
        assert_eq!(state(), (200, "2".to_owned()), "{language}");
        for (operation, status, kind, reason) in [
            ("trap", 502, "trapped", "trapped"),
            ("spin", 504, "deadline-exceeded", "deadline_exceeded"),
            ("grow", 502, "limit-exceeded", "limit_exceeded"),
        ] {
            let failed = daemon.call(language, operation, b"");
            assert_eq!((failed.status, failed.kind().as_str()), (status, kind), "{language} {operation}");
            assert_eq!(failed.problem()["exit_reason"], reason);
            assert_eq!(state(), (200, "1".to_owned()), "{language} after {operation}");
            let exit = daemon.module(language).last_exit.unwrap();
            assert_eq!((exit.reason.as_str(), exit.operation.as_deref()), (reason, Some(operation)));
            assert_eq!(exit.call.unwrap().to_string(), failed.header("wapcd-call-id").unwrap());
            assert_eq!(exit.origin.as_deref(), Some("control"));
        }
        assert_eq!(daemon.module(language).restarts, 3, "{language}");
    }
}

#[test]
fn a_trap_names_the_guests_functions_innermost_first() {
    let daemon = toolchains();
    let frames = |module: &str| {
        let problem = daemon.call(module, "trap", b"").problem();
        let frames = problem["backtrace"].as_array().unwrap().iter();
        frames.map(|frame| frame.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let menu = frames("menu");
    assert!(menu[0].starts_with("inner_trap") && menu[1].starts_with("outer_trap"), "{menu:?}");
    let rust = frames("rust");
    assert!(rust.iter().any(|frame| frame.contains("trap")), "{rust:?}");
    eventually("it is told of", || daemon.module("menu").last_exit.is_some());
    assert_eq!(daemon.module("menu").last_exit.unwrap().backtrace, menu);
}

#[test]
fn a_deadline_is_met_within_a_small_bound() {
    let daemon = Daemon::start(&format!("{LIMITS}{}", module("menu", "")));
    // The shortest of some tries: the machine has other things to do as well.
    let shortest = (0..3).map(|_| {
        let start = Instant::now();
        assert_eq!(daemon.call("menu", "spin", b"").status, 504);
        daemon.call("menu", "echo", b"");
        start.elapsed()
    });
    let shortest = shortest.min().unwrap();
    assert!(shortest >= Duration::from_secs(2) && shortest < Duration::from_secs(4), "{shortest:?}");
}

#[test]
fn a_guest_that_exits_in_a_call_tells_its_code() {
    // A success in between keeps the module from failing.
    let daemon = Daemon::start(&module("menu", ""));
    for code in ["0", "1", "125", "126", "127", "255", "4294967295"] {
        let quit = daemon.call("menu", "quit", code.as_bytes());
        assert_eq!((quit.status, quit.kind().as_str()), (502, "exited"));
        assert_eq!(quit.problem()["exit_code"].to_string(), code);
        assert_eq!(daemon.call("menu", "number", b"").text(), "1");
    }
}

#[test]
fn a_normal_exit_stops_a_transient_module_and_a_permanent_one_goes_on() {
    let keys = |kind| format!("[modules.{kind}.restart]\ntype = \"{kind}\"\n");
    let toml = ["permanent", "transient", "temporary"].map(|kind| module(kind, "") + &keys(kind)).concat();
    let daemon = Daemon::start(&toml);
    for name in ["permanent", "transient", "temporary"] {
        assert_eq!(daemon.call(name, "quit", b"0").kind(), "exited");
    }
    assert_eq!(daemon.call("permanent", "echo", b"here").text(), "here");
    for name in ["transient", "temporary"] {
        eventually("the module stops", || daemon.module(name).state == ModuleState::Stopped);
        assert_eq!(daemon.call(name, "echo", b"").kind(), "stopped");
        daemon.ctl(&["start", name]);
        assert_eq!(daemon.call(name, "echo", b"back").text(), "back");
        assert_eq!(daemon.call(name, "trap", b"").kind(), "trapped");
    }
    assert_eq!(daemon.call("transient", "echo", b"again").text(), "again");
    eventually("the temporary module stops", || daemon.module("temporary").state == ModuleState::Stopped);
    assert_eq!(daemon.call("temporary", "echo", b"").kind(), "stopped");
}

// protocol: wasi.module-name
#[test]
fn lines_of_a_wasi_guest_carry_its_modules_name() {
    let daemon = toolchains();
    daemon.call("c-wasi", "print", b"to standard output");
    daemon.call("c-wasi", "print_error", b"to standard error");
    for (text, stream) in [("to standard output", "stdout"), ("to standard error", "stderr")] {
        let line = daemon.log_line(&[text]);
        assert_eq!((line["module"].as_str(), line["stream"].as_str()), (Some("c-wasi"), Some(stream)));
    }
    assert_eq!(daemon.log_line(&["started with"])["module"], "c-wasi");
}

#[test]
fn the_quick_start_runs_as_its_readme_says() {
    let mut toml = std::fs::read_to_string(guest_file("examples/quickstart/wapcd.toml")).unwrap();
    for line in ["state_dir   = \"state\"", "runtime_dir = \"run\""] {
        assert!(toml.contains(line));
        toml = toml.replace(line, "");
    }
    let host = own_host();
    let metrics = format!("{host}:9464");
    for address in ["127.0.0.1:9464", "127.0.0.1:8080"] {
        assert!(toml.contains(address));
    }
    toml = toml.replace("127.0.0.1", &host);
    for name in ["greeter", "counter", "reporter", "shout", "relay"] {
        let file = guest_file(&format!("examples/quickstart/{name}/{name}.wasm"));
        toml = toml.replace(&format!("{name}/{name}.wasm"), file.to_str().unwrap());
    }
    let daemon = Daemon::start(&toml);
    assert_eq!(daemon.ctl(&["call", "greeter", "hello", "--payload", "Ada"]), "Hello, Ada!");
    assert_eq!(daemon.ctl(&["call", "counter", "count", "--payload", "apples"]), "1");
    assert_eq!(daemon.ctl(&["call", "counter", "count", "--payload", "apples"]), "2");
    assert_eq!(daemon.ctl(&["call", "relay", "welcome", "--payload", "Ada"]), "Hello, Ada! You are visitor 1.");
    assert_eq!(daemon.ctl(&["call", "shout", "shout", "--payload", "well done"]), "WELL DONE");
    let page = format!("http://{metrics}/metrics");
    let report = format!("{page} answers with status 200");
    assert_eq!(daemon.ctl(&["call", "reporter", "report", "--payload", &page]), report);
    let elsewhere = daemon.wapcctl(&["call", "reporter", "report", "--payload", "http://192.0.2.1/"]);
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("not_allowed: "), "{elsewhere:?}");
    assert_eq!(daemon.ctl(&["publish", "events", "names.new", "--payload", "Grace", "--request"]), "Hello, Grace!");
    let nameless = daemon.wapcctl(&["call", "greeter", "hello", "--payload", ""]);
    assert_eq!(nameless.status.code(), Some(1));
    let daemon = daemon.stop().start();
    assert_eq!(daemon.ctl(&["call", "counter", "count", "--payload", "apples"]), "3");
}
