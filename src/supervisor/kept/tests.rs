//! What is kept is there again, whole or not at all, wherever writing it ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::*;
use crate::host::faults::{self, Fault};

/// A directory for the state and what is kept in it.
fn kept() -> (tempfile::TempDir, Kept) {
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept::new(dir.path());
    (dir, kept)
}

fn record(code: &[u8]) -> Record {
    Record {
        file: Some(sha256(b"the file")),
        runs: sha256(code),
        size: code.len() as u64,
        origin: GenerationOrigin::Operator,
        at: 1_700_000_000.25,
        barred: vec![sha256(b"barred")],
        why: Some("an operator swapped it".to_owned()),
    }
}

fn keep(kept: &Kept, module: &str, code: &[u8]) -> Result<(), KeptError> {
    kept.keep_code(&sha256(code), code)?;
    kept.keep(module, &record(code))
}

fn names(kept: &Kept) -> Vec<String> {
    let mut names = PrivateDir::open(&kept.path).unwrap().unwrap().names().unwrap();
    names.sort();
    names
}

/// The code that a module's record names; `None` without a record.
fn running(kept: &Kept, module: &str) -> Option<Vec<u8>> {
    let record = kept.record(module).unwrap()?;
    let code = kept.code(&record.runs).unwrap();
    assert_eq!(code.len() as u64, record.size);
    Some(code)
}

#[test]
fn a_record_and_its_code_are_there_again() {
    let (dir, kept) = kept();
    assert_eq!(kept.record("orders").unwrap(), None);
    kept.forget("orders").unwrap();
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is made before something is kept");
    keep(&kept, "orders", b"code").unwrap();
    let again = Kept::new(dir.path());
    assert_eq!(again.record("orders").unwrap(), Some(record(b"code")));
    assert_eq!(again.code(&sha256(b"code")).unwrap(), b"code");
    assert_eq!(again.record("order").unwrap(), None);
    assert_eq!(fs::metadata(&kept.path).unwrap().permissions().mode() & 0o7777, 0o700);
    for name in names(&kept) {
        assert_eq!(fs::metadata(kept.path.join(name)).unwrap().permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn code_stays_as_long_as_a_record_names_it() {
    let (_dir, kept) = kept();
    keep(&kept, "a", b"shared").unwrap();
    keep(&kept, "b", b"shared").unwrap();
    assert_eq!(names(&kept).len(), 3);
    keep(&kept, "a", b"other").unwrap();
    assert_eq!(running(&kept, "b").unwrap(), b"shared");
    kept.forget("b").unwrap();
    assert_eq!(names(&kept), ["a.json".to_owned(), code_name(&sha256(b"other"))]);
    kept.forget("a").unwrap();
    assert_eq!(names(&kept), [""; 0]);
}

#[test]
fn a_module_of_any_name_has_its_own_record() {
    let (_dir, kept) = kept();
    let longest = "x".repeat(64);
    let modules = ["a", "A", "a.b", "a/b", "..", "../a", "%61", "grüße", "a\0", " ", "a.json", &longest];
    for module in modules {
        keep(&kept, module, module.as_bytes()).unwrap();
    }
    for module in modules {
        assert_eq!(running(&kept, module).unwrap(), module.as_bytes());
    }
    let longest = "\u{7f}".repeat(64);
    keep(&kept, &longest, b"even where every letter takes three").unwrap();
}

#[test]
fn a_record_without_its_code_is_refused() {
    let (_dir, kept) = kept();
    keep(&kept, "orders", b"code").unwrap();
    let error = kept.keep("orders", &record(b"other")).unwrap_err();
    assert!(matches!(error, KeptError::Read { .. }), "{error}");
    assert_eq!(running(&kept, "orders").unwrap(), b"code");
}

#[test]
fn code_that_is_held_stays_without_a_record() {
    let (_dir, kept) = kept();
    let (one, other) = (kept.hold(&sha256(b"runs")), kept.hold(&sha256(b"runs")));
    kept.keep_code(&sha256(b"runs"), b"runs").unwrap();
    keep(&kept, "a", b"other").unwrap();
    drop(one);
    kept.forget("a").unwrap();
    assert_eq!(kept.code(&sha256(b"runs")).unwrap(), b"runs");
    drop(other);
    keep(&kept, "a", b"other").unwrap();
    assert!(kept.code(&sha256(b"runs")).is_err(), "nobody holds it any more");
}

#[test]
fn damaged_or_missing_code_is_an_error_that_names_it() {
    let (_dir, kept) = kept();
    keep(&kept, "orders", b"code").unwrap();
    let hash = sha256(b"code");
    let path = kept.path.join(format!("{hash}.wasm"));
    for damaged in [b"Code".as_slice(), b"cod", b"code ", b""] {
        fs::write(&path, damaged).unwrap();
        let error = kept.code(&hash).unwrap_err();
        assert!(matches!(error, KeptError::Code { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    keep(&kept, "other", b"code").unwrap();
    assert_eq!(running(&kept, "orders").unwrap(), b"code", "what is kept anew is whole again");
    fs::remove_file(&path).unwrap();
    let error = kept.code(&hash).unwrap_err();
    assert!(matches!(error, KeptError::Read { .. }) && error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(kept.code("../../etc/passwd").is_err());
}

#[test]
fn a_damaged_record_is_an_error_that_names_it_until_it_is_forgotten_or_kept_anew() {
    let (_dir, kept) = kept();
    keep(&kept, "orders", b"code").unwrap();
    keep(&kept, "bills", b"bills").unwrap();
    let path = kept.path.join("orders.json");
    let whole = fs::read(&path).unwrap();
    for damaged in [b"".as_slice(), b"{}", b"null", b"\0\0\0\0", &whole[..whole.len() / 2], &whole[1..]] {
        fs::write(&path, damaged).unwrap();
        let error = kept.record("orders").unwrap_err();
        assert!(matches!(error, KeptError::Record { .. }), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(running(&kept, "bills").unwrap(), b"bills", "others are as they were");
    }
    keep(&kept, "bills", b"new bills").unwrap();
    assert_eq!(kept.code(&sha256(b"code")).unwrap(), b"code", "nobody knows whether it is named");
    keep(&kept, "orders", b"code").unwrap();
    assert_eq!(running(&kept, "orders").unwrap(), b"code");
    fs::write(&path, "").unwrap();
    kept.forget("orders").unwrap();
    assert_eq!(kept.record("orders").unwrap(), None);
    assert_eq!(names(&kept).len(), 2);
}

#[test]
fn a_directory_that_others_can_reach_is_refused() {
    let (_dir, kept) = kept();
    keep(&kept, "orders", b"code").unwrap();
    fs::set_permissions(&kept.path, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(kept.record("orders"), Err(KeptError::Directory(DirectoryError::Mode { .. }))));
    assert!(matches!(keep(&kept, "orders", b"new"), Err(KeptError::Directory(DirectoryError::Mode { .. }))));
}

/// Runs `work` with each of its steps failing in turn, each time from the same beginning, and gives its end to `check`.
fn failing_everywhere(work: impl Fn(&Kept) -> Result<(), KeptError>, check: impl Fn(&Kept, Result<(), KeptError>)) {
    for fault in [Fault::Once, Fault::Crash] {
        let mut at = 0;
        loop {
            let (_dir, kept) = kept();
            keep(&kept, "orders", b"old code").unwrap();
            keep(&kept, "bills", b"bills").unwrap();
            let Some(result) = faults::with(at, fault, || work(&kept)) else { break };
            check(&kept, result);
            assert_eq!(running(&kept, "bills").unwrap(), b"bills");
            // The next one finds everything in order, and puts the rest in order.
            keep(&kept, "orders", b"last").unwrap();
            assert_eq!(running(&kept, "orders").unwrap(), b"last");
            assert_eq!(names(&kept).len(), 4, "{:?}", names(&kept));
            at += 1;
        }
        assert!(at >= 3, "only {at} steps were seen");
    }
}

#[test]
fn wherever_keeping_fails_the_old_record_or_the_new_one_holds() {
    failing_everywhere(
        |kept| keep(kept, "orders", b"new code"),
        |kept, result| match running(kept, "orders").unwrap().as_slice() {
            b"new code" => {}
            b"old code" => assert!(result.is_err(), "what is kept is what runs"),
            other => panic!("{other:?}"),
        },
    );
}

#[test]
fn wherever_forgetting_fails_the_record_holds_or_is_gone() {
    failing_everywhere(
        |kept| kept.forget("orders"),
        |kept, result| match running(kept, "orders").as_deref() {
            None => {}
            Some(b"old code") => assert!(result.is_err()),
            other => panic!("{other:?}"),
        },
    );
}

/// Tells the process that keeps and is killed where.
const VICTIM: &str = "WAPCD_TEST_KEPT";

/// Keeps and forgets until the process is killed.
fn keep_for_ever(kept: &Kept) -> ! {
    for round in 0u32.. {
        let code = vec![u8::try_from(round % 251).unwrap(); 300_000];
        keep(kept, "orders", &code).unwrap();
        if round % 5 == 4 {
            kept.forget("orders").unwrap();
        }
    }
    unreachable!()
}

#[test]
fn whenever_the_process_is_killed_a_record_has_its_code() {
    if let Some(state_dir) = env::var_os(VICTIM) {
        keep_for_ever(&Kept::new(Path::new(&state_dir)));
    }
    let (dir, kept) = kept();
    keep(&kept, "bills", b"bills").unwrap();
    let name = "supervisor::kept::tests::whenever_the_process_is_killed_a_record_has_its_code";
    for round in 0..30 {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", name]).env(VICTIM, dir.path()).stdout(Stdio::null());
        let mut victim = command.spawn().unwrap();
        let before = kept.record("orders").unwrap();
        let start = Instant::now();
        while kept.record("orders").unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing is ever kept");
        }
        // Somewhere in what it does next.
        let moment = Instant::now() + Duration::from_micros(rand::random_range(0..20_000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        let code = running(&kept, "orders");
        assert!(code.is_none_or(|code| code.len() == 300_000 && code.iter().all(|byte| *byte == code[0])), "{round}");
        assert_eq!(running(&kept, "bills").unwrap(), b"bills");
    }
    kept.forget("orders").unwrap();
    assert_eq!(names(&kept).len(), 2, "what was left over is gone: {:?}", names(&kept));
}

#[test]
fn a_record_holds_as_long_as_the_file_is_the_one_that_it_was_made_for() {
    let made = |file: Option<&str>, runs: &str, barred: &[&str]| Record {
        file: file.map(str::to_owned),
        runs: runs.to_owned(),
        barred: barred.iter().map(|hash| (*hash).to_owned()).collect(),
        ..record(b"")
    };
    let table = [
        ("no record", "f1", None, Run::File),
        ("an operator's code", "f1", Some(made(Some("f1"), "op", &[])), Run::Kept("op".to_owned())),
        ("rolled back from the file", "f2", Some(made(Some("f2"), "f1", &["f2"])), Run::Kept("f1".to_owned())),
        ("rolled back to the file", "f1", Some(made(Some("f1"), "f1", &["op"])), Run::File),
        ("the file changed", "f3", Some(made(Some("f2"), "f1", &["f2"])), Run::FileAndForget),
        ("to what runs", "f1", Some(made(Some("f2"), "f1", &["f2"])), Run::FileAndForget),
        ("to what is barred", "op", Some(made(Some("f1"), "f0", &["op"])), Run::FileAndForget),
        ("there was no file", "f1", Some(made(None, "op", &[])), Run::FileAndForget),
    ];
    for (what, file, record, expected) in table {
        assert_eq!(what_to_run(file, record.as_ref()), expected, "{what}");
    }
}
