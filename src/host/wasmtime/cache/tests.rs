//! Code from the cache is the code that was compiled, or is compiled again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};
use wasmtime::Config;

use super::*;
use crate::host::{
    EngineSettings, Execution, Limits, WapcHost, WasiParams,
    error::Resource,
    private_dir::faults::{self, Fault},
};

static ENGINE: LazyLock<WasmtimeEngine> =
    LazyLock::new(|| WasmtimeEngine::new(EngineSettings { instances: 8, ..EngineSettings::default() }).unwrap());

/// More than everything that these tests compile.
const PLENTY: u64 = 64 << 20;

/// A guest that answers every call with this text.
fn answering(text: &str) -> Vec<u8> {
    let length = text.len();
    wat::parse_str(format!(
        r#"(module (import "wapc" "__guest_response" (func $response (param i32 i32)))
        (memory (export "memory") 2) (data (i32.const 8) "{text}")
        (func (export "__guest_call") (param i32 i32) (result i32)
            (call $response (i32.const 8) (i32.const {length})) (i32.const 1)))"#
    ))
    .unwrap()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn compile(cache: &CodeCache, bytes: &[u8]) -> CompiledModule {
    ENGINE.compile_cached(bytes, &hash(bytes), cache).unwrap()
}

fn answer(module: &CompiledModule) -> String {
    let mut host = WapcHost::new(Box::new(module.provider(WasiParams::default())), None).unwrap();
    String::from_utf8(host.call("any", "").unwrap().to_vec()).unwrap()
}

/// A cache in a directory of its own.
fn cache(max_bytes: u64) -> (tempfile::TempDir, CodeCache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(&dir.path().join("code"), max_bytes).unwrap();
    (dir, cache)
}

fn names(cache: &CodeCache) -> Vec<String> {
    let mut names = PrivateDir::open(&cache.path).unwrap().unwrap().names().unwrap();
    names.sort();
    names
}

/// The path of the only entry.
fn entry(cache: &CodeCache) -> PathBuf {
    let names = names(cache);
    assert_eq!(names.len(), 1, "{names:?}");
    cache.path.join(&names[0])
}

/// Asserts that the guest's entry, as it is now, is not used, and is whole again afterwards.
fn assert_compiled_again(cache: &CodeCache, guest: &[u8], expected: &str, what: &str) {
    let before = (cache.hits(), cache.misses());
    assert_eq!(answer(&compile(cache, guest)), expected, "{what}");
    assert_eq!((cache.hits(), cache.misses()), (before.0, before.1 + 1), "{what} was used");
    assert_eq!(answer(&compile(cache, guest)), expected, "{what}");
    assert_eq!(cache.hits(), before.0 + 1, "{what} was not replaced");
}

#[test]
fn a_module_is_compiled_once_and_then_found_also_by_the_next_process() {
    let (dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    assert_eq!(answer(&compile(&cache, &guest)), "hello");
    assert_eq!((cache.hits(), cache.misses()), (0, 1));
    assert_eq!(answer(&compile(&cache, &guest)), "hello");
    assert_eq!((cache.hits(), cache.misses()), (1, 1));
    assert_eq!(fs::metadata(entry(&cache)).unwrap().permissions().mode() & 0o7777, 0o600);
    let next = CodeCache::open(&dir.path().join("code"), PLENTY).unwrap();
    assert_eq!(answer(&compile(&next, &guest)), "hello");
    assert_eq!((next.hits(), next.misses()), (1, 0));
    assert_eq!(answer(&compile(&next, &answering("other"))), "other");
    assert_eq!(names(&next).len(), 2);
}

#[test]
fn real_guests_are_found_with_everything_that_was_known_of_them() {
    let (_dir, cache) = cache(PLENTY);
    for language in ["rust", "assemblyscript", "c", "c-wasi", "zig"] {
        let path = format!("{}/tests/guests/{language}/guest.wasm", env!("CARGO_MANIFEST_DIR"));
        let guest = fs::read(path).unwrap();
        let (compiled, found) = (compile(&cache, &guest), compile(&cache, &guest));
        assert_eq!(found.imports_wasi(), compiled.imports_wasi());
        assert_eq!(found.starts(), compiled.starts());
        let none = Limits { memory: 0, ..Limits::default() };
        let error = found.check_limits(&none).unwrap_err();
        assert!(matches!(error, LoadError::InitialSize { resource: Resource::Memory, .. }), "{error:?}");
        assert_eq!(error.to_string(), compiled.check_limits(&none).unwrap_err().to_string());
    }
    assert_eq!((cache.hits(), cache.misses()), (5, 5));
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    compile(&cache, &guest);
    let path = entry(&cache);
    let whole = fs::read(&path).unwrap();
    // Every byte of the header, and some of the code from its first to its last.
    let code = (HEADER..whole.len()).step_by(whole.len() / 40).chain([HEADER, whole.len() - 1]);
    for at in (0..HEADER).chain(code) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, damaged).unwrap();
        assert_compiled_again(&cache, &guest, "hello", &format!("byte {at} of {}", whole.len()));
    }
}

#[test]
fn an_entry_of_another_length_is_noticed() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    compile(&cache, &guest);
    let path = entry(&cache);
    let whole = fs::read(&path).unwrap();
    let within = (0..whole.len()).step_by(whole.len() / 50);
    for length in within.chain([1, HEADER - 1, HEADER, HEADER + 1, whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        assert_compiled_again(&cache, &guest, "hello", &format!("the first {length} bytes"));
    }
    fs::write(&path, [whole.as_slice(), b"\0"].concat()).unwrap();
    assert_compiled_again(&cache, &guest, "hello", "an entry with a byte too many");
    fs::File::create(&path).unwrap().set_len(PLENTY + 1).unwrap();
    assert_compiled_again(&cache, &guest, "hello", "an entry that is larger than all may be");
}

#[test]
fn an_entry_under_the_name_of_another_is_noticed() {
    let (_dir, cache) = cache(PLENTY);
    let (hello, other) = (answering("hello"), answering("other"));
    compile(&cache, &hello);
    let path = entry(&cache);
    fs::rename(&path, cache.path.join("away")).unwrap();
    compile(&cache, &other);
    let others = names(&cache).into_iter().find(|name| name.ends_with(ENTRY)).unwrap();
    fs::copy(cache.path.join(others), &path).unwrap();
    assert_compiled_again(&cache, &hello, "hello", "the entry of another module");
}

#[test]
fn what_is_no_readable_file_is_not_used() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    compile(&cache, &guest);
    let path = entry(&cache);
    let away = cache.path.join("away");
    fs::rename(&path, &away).unwrap();
    symlink(&away, &path).unwrap();
    assert_compiled_again(&cache, &guest, "hello", "a symbolic link");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert_compiled_again(&cache, &guest, "hello", "an entry that others can write to");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 0..2 {
        assert_eq!(answer(&compile(&cache, &guest)), "hello", "where a directory is in the way");
    }
}

/// A key that has everything of this engine.
fn key(config: &Config) -> Key {
    Key::new(&Engine::new(config).unwrap(), &[7; 32])
}

#[test]
fn code_is_found_only_by_engines_that_can_run_it() {
    let base = || {
        let mut config = Config::new();
        config.epoch_interruption(true);
        config
    };
    let same = key(&base());
    assert!(same == key(&base()), "another engine with the same settings");
    assert!(same != Key::new(&Engine::new(&base()).unwrap(), &[8; 32]), "another module");
    let others: [fn(&mut Config) -> &mut Config; 5] = [
        |config| config.epoch_interruption(false),
        |config| config.consume_fuel(true),
        |config| config.memory_reservation(1 << 20),
        |config| config.wasm_simd(false).wasm_relaxed_simd(false),
        |config| config.cranelift_opt_level(wasmtime::OptLevel::None),
    ];
    for (at, change) in others.iter().enumerate() {
        let mut config = base();
        change(&mut config);
        assert!(same != key(&config), "setting {at}");
    }
    let mut config = base();
    config.max_wasm_stack(1 << 20).async_stack_size(2 << 20);
    assert!(same == key(&config), "the stack decides nothing about the code");
}

#[test]
fn an_engine_with_another_stack_runs_the_same_code_within_its_own() {
    let (_dir, cache) = cache(PLENTY);
    let guest = wat::parse_str(
        r#"(module (import "wapc" "__guest_response" (func $response (param i32 i32)))
        (memory (export "memory") 1) (global $deep (mut i32) (i32.const 0))
        (func $down (global.set $deep (i32.add (global.get $deep) (i32.const 1)))
            (i32.store (i32.const 0) (global.get $deep))
            (if (i32.lt_u (global.get $deep) (i32.const 10000)) (then (call $down))))
        (func (export "__guest_call") (param i32 i32) (result i32)
            (call $down) (call $response (i32.const 0) (i32.const 4)) (i32.const 1)))"#,
    )
    .unwrap();
    let runs = |stack: u64| {
        let settings = EngineSettings { instances: 1, guest_stack: stack, ..EngineSettings::default() };
        let module = WasmtimeEngine::new(settings).unwrap().compile_cached(&guest, &hash(&guest), &cache).unwrap();
        let mut host = WapcHost::new(Box::new(module.provider(WasiParams::default())), None).unwrap();
        host.call("any", "").is_ok()
    };
    assert!(runs(1 << 20));
    assert!(!runs(32 << 10), "the smaller stack overflows");
    assert_eq!((cache.hits(), cache.misses()), (1, 1));
}

#[test]
fn code_for_the_interpreter_and_code_for_the_processor_are_kept_apart() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    let settings = EngineSettings { execution: Execution::Interpreted, instances: 8, ..EngineSettings::default() };
    let interpreter = WasmtimeEngine::new(settings).unwrap();
    let interpreted = || answer(&interpreter.compile_cached(&guest, &hash(&guest), &cache).unwrap());
    let compiled = || answer(&compile(&cache, &guest));
    assert_eq!((interpreted(), compiled()), ("hello".into(), "hello".into()));
    assert_eq!((cache.hits(), cache.misses()), (0, 2), "neither finds the other's");
    assert_eq!((interpreted(), compiled()), ("hello".into(), "hello".into()));
    assert_eq!((cache.hits(), cache.misses()), (2, 2), "each finds its own");
    // Also where one lies under the key of the other, wasmtime refuses it.
    let (of_interpreter, of_processor) =
        (Key::new(&interpreter.0.engine, &hash(&guest)), Key::new(&ENGINE.0.engine, &hash(&guest)));
    cache.store(&of_processor, interpreter.compile(&guest).unwrap().module());
    cache.store(&of_interpreter, ENGINE.compile(&guest).unwrap().module());
    assert_eq!((interpreted(), compiled()), ("hello".into(), "hello".into()));
    assert_eq!((cache.hits(), cache.misses()), (2, 4), "both were made again");
}

#[test]
fn code_of_another_engine_under_this_ones_key_is_compiled_again() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    let foreign = Module::from_binary(&Engine::new(&Config::new()).unwrap(), &guest).unwrap();
    cache.store(&Key::new(&ENGINE.0.engine, &hash(&guest)), &foreign);
    assert_compiled_again(&cache, &guest, "hello", "code without interruptions");
}

#[test]
fn cached_code_passes_the_same_checks() {
    let (_dir, cache) = cache(PLENTY);
    let memory = r#"(memory (export "memory") 1)"#;
    let call = r#"(func (export "__guest_call") (param i32 i32) (result i32) (i32.const 0))"#;
    for text in [
        "(module)".to_owned(),
        format!("(module {memory})"),
        format!(r#"(module (import "env" "unknown" (func)) {memory} {call})"#),
        format!(r#"(module {memory} {call} (func (export "_start") (param i32)))"#),
    ] {
        let bytes = wat::parse_str(&text).unwrap();
        let expected = ENGINE.compile(&bytes).unwrap_err().to_string();
        let refusal = || ENGINE.compile_cached(&bytes, &hash(&bytes), &cache).unwrap_err().to_string();
        assert_eq!(refusal(), expected);
        assert_eq!(names(&cache), [""; 0], "nothing is kept of what is refused");
        // As a version that demanded less could have left it.
        let module = Module::from_binary(&ENGINE.0.engine, &bytes).unwrap();
        cache.store(&Key::new(&ENGINE.0.engine, &hash(&bytes)), &module);
        let hits = cache.hits();
        assert_eq!(refusal(), expected);
        assert_eq!(cache.hits(), hits + 1);
        fs::remove_file(entry(&cache)).unwrap();
    }
}

#[test]
fn precompiled_code_is_no_module_whether_it_is_cached_or_not() {
    let (_dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    let elf = compile(&cache, &guest).module().serialize().unwrap();
    for hash in [hash(&elf), hash(&guest)] {
        let error = ENGINE.compile_cached(&elf, &hash, &cache).unwrap_err();
        assert!(error.to_string().contains("precompiled or native code (ELF)"), "{error}");
    }
    let error = ENGINE.compile_cached(&guest[..guest.len() / 2], &[1; 32], &cache).unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[test]
fn a_directory_that_others_can_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("code");
    let refusal = || chain(&CodeCache::open(&path, PLENTY).unwrap_err());
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let text = refusal();
    assert!(text.contains("mode 0755") && text.contains(path.to_str().unwrap()), "{text}");
    fs::rename(&path, dir.path().join("real")).unwrap();
    fs::set_permissions(dir.path().join("real"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(dir.path().join("real"), &path).unwrap();
    assert!(refusal().contains("is a symbolic link"));
}

#[test]
fn the_entries_that_were_not_used_for_the_longest_go_first() {
    let (dir, large) = cache(PLENTY);
    let guests: Vec<_> = (0..8).map(|at| answering(&format!("guest {at}"))).collect();
    for guest in &guests {
        compile(&large, guest);
    }
    let size = large.bytes.load(Ordering::Relaxed) / 8;
    // The first is used again.
    compile(&large, &guests[0]);
    let small = CodeCache::open(&dir.path().join("code"), size * 6).unwrap();
    let kept = names(&small).len();
    assert!((4..=6).contains(&kept), "{kept} of 8 entries in the room of 6");
    assert_eq!(small.bytes.load(Ordering::Relaxed) / size, kept as u64);
    compile(&small, &guests[0]);
    compile(&small, &guests[7]);
    assert_eq!(small.hits(), 2);
    compile(&small, &guests[1]);
    assert_eq!(small.misses(), 1, "the oldest went");
    for guest in guests.iter().cycle().take(40) {
        compile(&small, guest);
        assert!(names(&small).len() <= 6);
    }
    let tiny = CodeCache::open(&dir.path().join("code"), 100).unwrap();
    assert_eq!(answer(&compile(&tiny, &guests[0])), "guest 0");
    assert_eq!(names(&tiny), [""; 0]);
}

#[test]
fn wherever_writing_fails_the_module_is_compiled_all_the_same() {
    for fault in [Fault::Once, Fault::Crash] {
        let mut at = 0;
        loop {
            let (dir, cache) = cache(PLENTY);
            let guest = answering("hello");
            let Some(module) = faults::with(at, fault, || compile(&cache, &guest)) else { break };
            assert_eq!(answer(&module), "hello");
            let next = CodeCache::open(&dir.path().join("code"), PLENTY).unwrap();
            assert!(names(&next).iter().all(|name| name.ends_with(ENTRY)), "leftovers: {:?}", names(&next));
            assert_eq!(answer(&compile(&next, &guest)), "hello");
            at += 1;
        }
        assert!(at >= 4, "only {at} steps were seen");
    }
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let (dir, cache) = cache(PLENTY);
    let guest = answering("hello");
    compile(&cache, &guest);
    fs::remove_dir_all(&cache.path).unwrap();
    assert_compiled_again(&cache, &guest, "hello", "what is gone");
    assert_eq!(fs::metadata(&cache.path).unwrap().permissions().mode() & 0o7777, 0o700);
    // What lies there instead is not used, and everything goes on without a cache.
    fs::remove_dir_all(&cache.path).unwrap();
    symlink(dir.path(), &cache.path).unwrap();
    for _ in 0..2 {
        assert_eq!(answer(&compile(&cache, &guest)), "hello");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn many_may_write_and_damage_and_remove_the_same_entries() {
    let (dir, first) = cache(PLENTY);
    let second = CodeCache::open(&dir.path().join("code"), PLENTY).unwrap();
    let guests = [answering("one"), answering("two")];
    thread::scope(|scope| {
        for at in 0..6 {
            let (first, second, guests) = (&first, &second, &guests);
            scope.spawn(move || {
                let end = Instant::now() + Duration::from_millis(700);
                while Instant::now() < end {
                    for (guest, expected) in guests.iter().zip(["one", "two"]) {
                        let cache = if at % 2 == 0 { first } else { second };
                        assert_eq!(answer(&compile(cache, guest)), expected);
                    }
                    let Some(name) = names(first).pop() else { continue };
                    match at {
                        0 => drop(fs::remove_file(first.path.join(name))),
                        1 => drop(fs::write(first.path.join(name), "damaged")),
                        2 => drop(CodeCache::open(&first.path, PLENTY).unwrap()),
                        _ => {}
                    }
                }
            });
        }
    });
    for guest in &guests {
        compile(&first, guest);
    }
    assert_eq!(names(&first).len(), 2, "{:?}", names(&first));
}
