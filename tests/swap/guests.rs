//! The guests of these tests themselves: that they are what the proofs take them for.

use std::time::Duration;

use bytes::Bytes;
use wapcd::host::{CallError, EngineSettings, HostOptions, Limits, WapcHostAsync, WasiParams, WasmtimeEngine};

use crate::guest::{self, Build};

/// A guest outside of any daemon.
struct Host {
    runtime: tokio::runtime::Runtime,
    host: WapcHostAsync,
}

impl Host {
    fn start(engine: &WasmtimeEngine, bytes: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let provider = Box::new(engine.compile(bytes).unwrap().provider(WasiParams::default()));
        let limits = Limits { deadline: Some(Duration::from_secs(5)), ..Limits::default() };
        let options = HostOptions { limits, ..HostOptions::default() };
        let host = runtime.block_on(WapcHostAsync::with_options(provider, None, options)).unwrap();
        Self { runtime, host }
    }

    fn call(&mut self, operation: &str, payload: &str) -> Result<String, CallError> {
        let answer = self.runtime.block_on(self.host.call(operation, Bytes::from(payload.to_owned())));
        answer.map(|answer| String::from_utf8(answer.to_vec()).unwrap())
    }

    fn answer(&mut self, operation: &str, payload: &str) -> String {
        self.call(operation, payload).unwrap()
    }
}

fn engine() -> WasmtimeEngine {
    WasmtimeEngine::new(EngineSettings { instances: 4, ..EngineSettings::default() }).unwrap()
}

#[test]
fn a_build_tells_its_number_counts_and_hands_its_count_over() {
    let engine = engine();
    let mut one = Host::start(&engine, &guest::build(41));
    assert_eq!(one.answer("build", ""), guest::name(41));
    assert_eq!((one.answer("both", ""), one.answer("work", "")), ("00000041 1".into(), "00000041 2".into()));
    assert_eq!((one.answer("count", ""), one.answer("peek", "")), ("3".into(), "3".into()));
    let state = one.answer("export", "");
    let mut two = Host::start(&engine, &guest::build(42));
    assert_eq!(two.answer("import", &state), "");
    assert_eq!((two.answer("both", ""), two.answer("probe", "")), ("00000042 4".into(), "well".into()));
    assert_eq!(two.answer("echo", "as it is"), "as it is");
    assert_eq!(two.call("another", "").unwrap_err().to_string(), "no such operation");
    assert_eq!(two.call("fail", "on purpose").unwrap_err().to_string(), "on purpose");
    assert!(two.call("get", "{}").unwrap_err().to_string().contains("store"));
    assert!(two.call("trap", "").unwrap_err().ends_instance());
}

#[test]
fn builds_misbehave_as_they_are_told_to() {
    let engine = engine();
    let mut ill = Host::start(&engine, &Build { ill: true, ..Build::default() }.make(1));
    assert_eq!(ill.answer("probe", ""), "ill ");
    let closed = Build { keeps_state: true, wants_no_state: true, ..Build::default() };
    let mut closed = Host::start(&engine, &closed.make(1));
    assert_eq!(closed.call("export", "").unwrap_err().to_string(), "ill");
    assert_eq!(closed.call("import", "5").unwrap_err().to_string(), "ill");
    let mut trapping = Host::start(&engine, &Build { traps: true, ..Build::default() }.make(1));
    assert!(trapping.call("build", "").unwrap_err().ends_instance());
}

#[test]
fn a_build_that_is_cut_before_its_data_is_a_valid_module_that_answers_garbage() {
    let whole = guest::build(7);
    let cut = guest::without_data(&whole);
    assert!(cut.len() < whole.len());
    let mut cut = Host::start(&engine(), &cut);
    assert_eq!(cut.answer("build", ""), "\0".repeat(8));
}

#[test]
fn builds_are_as_large_as_they_are_asked_to_be() {
    for size in [100_000, 2_000_000] {
        let bytes = Build { size, ..Build::default() }.make(3).len();
        assert!((size * 9 / 10..size * 11 / 10).contains(&bytes), "{size}: {bytes}");
    }
    let large = Build { size: 100_000, ..Build::default() }.make(9);
    assert_eq!(Host::start(&engine(), &large).answer("build", ""), guest::name(9));
}
