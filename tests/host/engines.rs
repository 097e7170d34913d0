//! Section 8: one trait, two engines, two kinds of callback, the same tests.

use std::time::Duration;

use wapcd::host::{GuestExit, LoadError, ModuleState, Running, TrapKind, WapcHost, WebAssemblyEngineProvider};

use crate::{
    guest::{MENU, assemble, guest_with, menu},
    hosts::{Kind, Setup, both},
    scripted::{Script, Scripted, Step},
};

/// An engine with a menu guest, and bytes for replacements.
struct Engine {
    name: &'static str,
    provider: fn() -> Box<dyn WebAssemblyEngineProvider>,
    menu: Vec<u8>,
    fails_to_start: Vec<u8>,
}

fn engines() -> [Engine; 2] {
    let fails = guest_with("", "(func (export \"_start\") (unreachable))", "");
    [
        Engine {
            name: "wasmtime",
            provider: || Box::new(MENU.provider(Default::default())),
            menu: assemble(&menu()),
            fails_to_start: assemble(&fails),
        },
        Engine {
            name: "scripted",
            provider: || Box::new(Scripted::new(scripted_menu, find)),
            menu: b"menu".to_vec(),
            fails_to_start: b"fails".to_vec(),
        },
    ]
}

fn scripted_menu(operation: &str) -> &'static [Step] {
    match operation {
        "echo" => &[Step::Respond],
        "host" => &[Step::CallHost, Step::Respond],
        "twice" => &[Step::CallHost, Step::CallHost, Step::Respond],
        "fail" => &[Step::Fail, Step::Return(0)],
        "mute" => &[Step::Return(0)],
        "trap" => &[Step::Trap],
        "said" => &[Step::Fail, Step::Trap],
        "wild" => &[Step::Wild],
        "spin" => &[Step::Spin],
        "count" => &[Step::Count],
        _ => &[],
    }
}

fn find(bytes: &[u8]) -> Option<Script> {
    match bytes {
        b"menu" => Some(scripted_menu),
        b"fails" => Some(|_| &[Step::Trap]),
        _ => None,
    }
}

/// Runs a test on each engine with each kind of callback.
fn all(test: impl Fn(&Engine, Kind) + Send + Sync) {
    let engines = engines();
    both(|kind| {
        for engine in &engines {
            eprint_name(engine.name);
            test(engine, kind);
        }
    });
}

/// Names the engine in the output of a failing test.
#[allow(clippy::print_stderr, reason = "shown only when the test fails")]
fn eprint_name(name: &str) {
    eprintln!("engine: {name}");
}

// protocol: engine.trait
// protocol: engine.both-kinds
#[test]
fn every_engine_answers_calls_and_passes_host_calls() {
    all(|engine, kind| {
        let mut host = Setup::reversing().start_engine((engine.provider)(), kind).unwrap();
        assert_eq!(host.call("echo", "text").unwrap(), "text");
        assert_eq!(host.call("host", "abc").unwrap(), "cba");
        assert_eq!(host.error("fail", "why"), "why");
        assert_eq!(host.error("mute", ""), "no error message");
        assert_eq!(host.error("silent", ""), "no response");
        let mut host = Setup::default().start_engine((engine.provider)(), kind).unwrap();
        assert!(host.error("host", "").starts_with("no_such_binding: "));
    });
}

// protocol: engine.trait
#[test]
fn every_engine_ends_an_instance_that_trapped() {
    all(|engine, kind| {
        let mut host = Setup::default().start_engine((engine.provider)(), kind).unwrap();
        for (operation, expected) in [("trap", TrapKind::Unreachable), ("wild", TrapKind::BadPointer)] {
            assert_eq!(host.call("count", "").unwrap()[0], 1);
            assert_eq!(host.call("count", "").unwrap()[0], 2);
            let exit = host.exit(operation, "");
            let GuestExit::Trapped(trap) = exit else { panic!("{exit:?}") };
            assert_eq!(trap.kind, expected);
        }
        assert_eq!(host.call("count", "").unwrap()[0], 1);
    });
}

// protocol: engine.trait
#[test]
fn every_engine_keeps_deadlines() {
    all(|engine, kind| {
        let setup = Setup::default().deadline(Duration::from_millis(100));
        let mut host = setup.start_engine((engine.provider)(), kind).unwrap();
        let exit = host.exit("spin", "");
        assert!(matches!(exit, GuestExit::DeadlineExceeded { in_host_call: false, .. }), "{exit:?}");
        assert_eq!(host.call("echo", "x").unwrap(), "x");
    });
}

// protocol: engine.trait
#[test]
fn every_engine_survives_a_callback_that_panics() {
    all(|engine, kind| {
        let setup = Setup::answering(|_, _| panic!("broken"));
        let mut host = setup.start_engine((engine.provider)(), kind).unwrap();
        let before = host.call("count", "").unwrap()[0];
        assert!(host.error("host", "").starts_with("internal: the host panicked: broken"));
        assert!(host.call("count", "").unwrap()[0] > before, "the instance lives on");
    });
}

// protocol: engine.trait
#[test]
fn every_engine_replaces_its_module_or_keeps_the_old_one() {
    all(|engine, kind| {
        let mut host = Setup::default().start_engine((engine.provider)(), kind).unwrap();
        assert_eq!(host.call("count", "").unwrap()[0], 1);
        assert!(matches!(host.replace(b"neither"), Err(LoadError::NotAModule(_))));
        let error = host.replace(&engine.fails_to_start).unwrap_err();
        assert!(matches!(error, LoadError::Start { function: "_start", .. }), "{error:?}");
        assert_eq!(host.call("count", "").unwrap()[0], 2);
        host.replace(&engine.menu).unwrap();
        assert_eq!(host.call("count", "").unwrap()[0], 1);
    });
}

/// An engine that only does what it must.
struct Minimal(Scripted);

impl WebAssemblyEngineProvider for Minimal {
    fn init(&mut self, state: ModuleState) -> Running<'_, (), LoadError> {
        self.0.init(state)
    }

    fn call(&mut self, operation_len: u32, payload_len: u32) -> Running<'_, i32, GuestExit> {
        self.0.call(operation_len, payload_len)
    }

    fn state(&mut self) -> Option<&mut ModuleState> {
        self.0.state()
    }
}

// protocol: engine.no-replace
#[test]
fn an_engine_that_cannot_replace_says_so() {
    both(|kind| {
        let engine = Box::new(Minimal(Scripted::new(scripted_menu, find)));
        let mut host = Setup::default().start_engine(engine, kind).unwrap();
        let error = host.replace(b"menu").unwrap_err();
        assert!(matches!(error, LoadError::Unsupported("replacing a module")), "{error:?}");
        assert_eq!(host.call("count", "").unwrap()[0], 1);
    });
}

// protocol: engine.trait
#[test]
fn an_engine_whose_guest_does_not_start_gives_no_host() {
    let engine = Box::new(Scripted::new(|_| &[Step::Wild], find));
    let error = WapcHost::new(engine, None).map(|_| ()).unwrap_err();
    let LoadError::Start { function: "_start", exit: GuestExit::Trapped(trap) } = error else { panic!("{error:?}") };
    assert_eq!(trap.kind, TrapKind::BadPointer);
}
