//! Broken files in place of a good one: the code that runs goes on, and the status says why.

use std::{fs, time::Duration};

use wapcd::{
    host::{EngineSettings, HostOptions, Limits, LoadError, WapcHostAsync, WasiParams, WasmtimeEngine, chain},
    supervisor::compile,
};

use crate::broken::{CALL_TIMEOUT_MS, MEMORY, MODULE_SIZE, corpus};

/// What the host says of a file, without a daemon.
fn said_of(engine: &WasmtimeEngine, path: &std::path::Path) -> Option<String> {
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
