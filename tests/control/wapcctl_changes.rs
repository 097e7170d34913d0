//! `wapcctl swap`, `rollback` and `reload`, and the pages that show code, generations and the configuration.

use std::{io::Write as _, path::Path};

use serde_json::Value;
use wapcd::supervisor::status::{
    ChangeStatus, GenerationOrigin, GenerationOutcome, ReloadError, ReloadReport, SwapErrorStatus,
};

use crate::{
    described::now,
    fake::{Reload, Running},
    wapcctl::{code, err, out, wapcctl},
};

/// A file with bytes that are no text.
fn code_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\0asm\xff\n").unwrap();
    file
}

#[test]
fn a_swap_takes_a_file_or_standard_input_and_says_what_runs_then() {
    let running = Running::start();
    let file = code_file();
    let path = file.path().to_str().unwrap();
    let done = wapcctl(&running.socket(), &["swap", "echo", path], b"not this");
    assert_eq!((code(&done), err(&done).as_str()), (0, ""));
    assert_eq!(out(&done), "echo: running, generation 3\n  sha256      abababababab\n");
    assert_eq!(code(&wapcctl(&running.socket(), &["swap", "barred", "-", "--force"], &[7; 300_000])), 0);
    let seen = running.fake.swaps.lock().clone();
    assert_eq!((seen[0].code.as_ref(), seen[0].force), (b"\0asm\xff\n".as_slice(), false));
    assert!((seen[1].module.as_str(), seen[1].code.len(), seen[1].force) == ("barred", 300_000, true));
    let same = wapcctl(&running.socket(), &["swap", "same", path], b"");
    assert_eq!(code(&same), 0);
    assert!(out(&same).starts_with("same: generation 3 is this code already: nothing to do\n"), "{}", out(&same));
    let json = wapcctl(&running.socket(), &["swap", "same", path, "--json"], b"");
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["changed"], false);
}

#[test]
fn a_swap_that_fails_is_told_with_a_line_a_cause() {
    let running = Running::start();
    let file = code_file();
    let swap = |module, more: &[&str]| {
        let arguments = [&["swap", module, file.path().to_str().unwrap()], more].concat();
        wapcctl(&running.socket(), &arguments, b"")
    };
    let failed = swap("broken", &[]);
    assert_eq!((code(&failed), out(&failed).as_str()), (1, ""));
    assert_eq!(
        err(&failed),
        "wapcctl: module `broken`: the new code did not take over, the old goes on\n    it does not compile\n    \
         because: a \\u{1b}[2J cause\\nof two lines\n"
    );
    let refused = swap("barred", &[]);
    assert_eq!(code(&refused), 1);
    assert!(err(&refused).ends_with("now\n    this code was rolled back 3 minutes ago; --force takes it\n"));
    let json = swap("broken", &["--json"]);
    let problem: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((code(&json), &problem["causes"][0]), (1, &"it does not compile".into()));
    let unknown = swap("nobody", &[]);
    assert_eq!((code(&unknown), err(&unknown).as_str()), (1, "wapcctl: no module `nobody`\n"));
    let dead = swap("failed", &[]);
    assert_eq!(code(&dead), 1);
    assert!(out(&dead).contains("the guest trapped: unreachable"), "{}", out(&dead));
    let large = wapcctl(&running.socket(), &["swap", "echo", "-"], &vec![0; 3 << 20]);
    assert_eq!(code(&large), 1);
    assert!(err(&large).contains("over 2031616 bytes, the largest `limits.module_size`"), "{}", err(&large));
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_nothing_is_sent() {
    let nowhere = Path::new("/nonexistent/wapcd.sock");
    for file in ["/nonexistent/new.wasm", "/"] {
        let output = wapcctl(nowhere, &["swap", "echo", file], b"");
        assert_eq!(code(&output), 1, "{}", err(&output));
        assert!(err(&output).starts_with(&format!("wapcctl: cannot read the code from {file}: ")), "{}", err(&output));
    }
    let json = wapcctl(nowhere, &["swap", "echo", "/nonexistent/new.wasm", "--json"], b"");
    let problem: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((code(&json), &problem["type"]), (1, &"urn:wapcd:error:client".into()));
    for arguments in [&["swap", "echo"][..], &["rollback"], &["reload", "now"], &["reload", "--force"]] {
        assert_eq!(code(&wapcctl(nowhere, arguments, b"")), 64, "{arguments:?}");
    }
}

#[test]
fn a_rollback_says_what_runs_then() {
    let running = Running::start();
    let done = wapcctl(&running.socket(), &["rollback", "echo"], b"");
    assert_eq!((code(&done), out(&done).lines().next()), (0, Some("echo: running, generation 3")));
    let failed = wapcctl(&running.socket(), &["rollback", "broken"], b"");
    assert!(code(&failed) == 1 && err(&failed).contains("\n    because: a "), "{}", err(&failed));
}

#[test]
fn a_reload_is_a_line_a_change_and_a_failure_where_one_went_wrong() {
    let running = Running::start();
    let same = wapcctl(&running.socket(), &["reload"], b"");
    assert_eq!((code(&same), out(&same).as_str()), (0, "the configuration is the same: nothing to do\n"));
    let change = |action: &str, subject: &str, keys: &[&str]| ChangeStatus {
        subject: subject.into(),
        action: action.into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        error: None,
    };
    let mut changes = vec![change("swap", "modules.orders", &["path"]), change("adjust", "logging", &["level"])];
    let done = |changes: &[_]| Reload::Done(ReloadReport { dry_run: false, changes: changes.to_vec() });
    *running.fake.reload.lock() = done(&changes);
    let plan = wapcctl(&running.socket(), &["reload", "--dry-run"], b"");
    let lines = "swap    modules.orders  path\nadjust  logging         level\n";
    assert_eq!((code(&plan), out(&plan)), (0, format!("{lines}2 changes, nothing was applied\n")));
    let applied = wapcctl(&running.socket(), &["reload"], b"");
    assert_eq!((code(&applied), out(&applied)), (0, format!("{lines}2 changes applied\n")));
    changes[0].error = Some("it \u{1b}[2J traps".into());
    *running.fake.reload.lock() = done(&changes);
    let wrong = wapcctl(&running.socket(), &["reload"], b"");
    assert_eq!(code(&wrong), 1);
    assert!(out(&wrong).contains("path\n    !! it \\u{1b}[2J traps\nadjust"), "{}", out(&wrong));
    let json = wapcctl(&running.socket(), &["reload", "--dry-run", "--json"], b"");
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (code(&json), &document["dry_run"], &document["changes"][1]["action"]),
        (1, &true.into(), &"adjust".into())
    );
}

#[test]
fn a_refused_reload_is_told_with_a_line_a_problem() {
    let running = Running::start();
    *running.fake.reload.lock() = Reload::Refused(vec!["w.toml:3: `x`".into(), "w.toml:9: \u{1b}[2J\ny".into()]);
    let refused = wapcctl(&running.socket(), &["reload"], b"");
    assert_eq!((code(&refused), out(&refused).as_str()), (1, ""));
    assert_eq!(
        err(&refused),
        "wapcctl: the configuration is refused and nothing has changed\n    w.toml:3: `x`\n    w.toml:9: \\u{1b}[2J\n    y\n"
    );
    let json = wapcctl(&running.socket(), &["reload", "--json"], b"");
    let problem: Value = serde_json::from_slice(&json.stderr).unwrap();
    assert_eq!((code(&json), problem["problems"].as_array().unwrap().len()), (1, 2));
    *running.fake.reload.lock() = Reload::Hangs;
    assert!(
        err(&wapcctl(&running.socket(), &["reload"], b"")).contains("no answer to the reload of the configuration")
    );
}

#[test]
fn tables_show_in_a_word_what_is_worth_a_look_about_a_modules_code() {
    let running = Running::start();
    let cell = || {
        let text = out(&wapcctl(&running.socket(), &["modules"], b""));
        let row = text.lines().nth(1).unwrap();
        row.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_eq!(cell(), "-");
    running.fake.status.lock().modules[0].differs = Some("an operator swapped it".into());
    assert_eq!(cell(), "differs");
    running.fake.status.lock().modules[0].generations[1].outcome = GenerationOutcome::OnProbation;
    assert_eq!(cell(), "probation");
    let error = SwapErrorStatus { at: 0.0, origin: GenerationOrigin::File, sha256: None, causes: Vec::new() };
    running.fake.status.lock().modules[0].last_swap_error = Some(error);
    assert_eq!(cell(), "refused");
    running.fake.status.lock().modules[0].swapping = Some("compiling".into());
    assert_eq!(cell(), "swapping");
}

#[test]
fn the_status_shows_the_configuration_and_every_file_that_was_refused() {
    let running = Running::start();
    let status = || out(&wapcctl(&running.socket(), &["status"], b""));
    let text = status();
    assert!(text.contains("\nconfiguration /etc/wapcd/wapcd.toml, loaded 1h 0m ago (20"), "{text}");
    assert!(text.contains("Z), 5 reloads, 1 refused\ndrop-in directory /var/lib/wapcd/modules, 1 file refused\n"));
    assert!(text.contains("\n!! a\\u{7}.wasm: user 7 owns it\n\nMODULE"), "{text}");
    let problems = vec!["w.toml:3: `\u{1b}`".into(), "w.toml:9: no".into()];
    running.fake.status.lock().configuration.last_error = Some(ReloadError { at: now() - 3_670.0, problems });
    running.fake.status.lock().drop_in = None;
    let text = status();
    assert!(text.contains("\n!! THE LAST RELOAD WAS REFUSED, 1h 1m ago ("), "{text}");
    assert!(text.contains("Z), and changed nothing:\n     w.toml:3: `\\u{1b}`\n     w.toml:9: no\n\nMODULE"), "{text}");
    assert!(!text.contains("drop-in"));
}

#[test]
fn a_modules_page_shows_its_generations_and_why_the_last_swap_failed() {
    let running = Running::start();
    let page = |change: &str| out(&wapcctl(&running.socket(), &["module", change], b""));
    let text = page("echo");
    for line in [
        "  declared    configured\n",
        "  generation  3\n",
        "  swaps       file 1 (3 failed), operator 2\n",
        "  GEN  SHA256            SIZE  AT                    ",
        "    4  efefefefefef  64.0 KiB  2000-02-29T00:00:04Z  ",
        "  file      refused   its probe \\u{1b}[2J failed\n",
        "  operator  current\n",
        "  start     replaced\n",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    assert!(!text.contains("swap error") && !text.contains("differs"), "{text}");
    let text = page("differs");
    for line in [
        "  generation  3, on probation\n",
        "  differs     its file \\u{1b}[2J is refused\n",
        "  swapping    generation 5: 1 of 2 instances have it\n",
        "  swap error  from roll back, 1h 1m ago (",
        "Z), sha256 0123456789ab\n    its probe failed\n    because: a \\u{7} trap\n",
        "  instance    0: id 5, generation 3, on worker 1, ",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
}
