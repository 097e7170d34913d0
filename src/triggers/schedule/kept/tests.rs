//! Files of schedules: whole, broken, of others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn kept(dir: &Path) -> Kept {
    Kept::new(&"nightly".into(), dir)
}

/// Lets everything be written that waits.
fn written(kept: &mut Kept) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        kept.hurry();
        while !kept.is_quiet() {
            kept.turn().await;
        }
    });
}

#[test]
fn what_is_kept_is_read_and_nobody_else_may_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = kept(dir.path());
    assert_eq!(first.read().unwrap(), None);
    let done = UNIX_EPOCH + Duration::from_millis(1_795_435_200_123);
    first.keep(Some(done - Duration::from_secs(1)));
    first.keep(Some(done));
    written(&mut first);
    assert_eq!(kept(dir.path()).read().unwrap(), Some(done));
    let path = dir.path().join("schedules/nightly.json");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    first.keep(None);
    written(&mut first);
    assert!(!path.exists());
    // Also where there was none.
    first.keep(None);
    written(&mut first);
}

#[test]
fn writes_wait_for_one_another() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut kept = kept(dir.path());
        let began = Instant::now();
        kept.keep(Some(UNIX_EPOCH));
        kept.turn().await;
        kept.turn().await;
        assert!(kept.is_quiet());
        kept.keep(Some(UNIX_EPOCH));
        kept.turn().await;
        assert!(began.elapsed() >= PAUSE);
    });
}

#[test]
fn a_file_of_something_else_is_refused_by_name() {
    for (text, word) in [
        ("", "EOF"),
        ("{\"trigger\": \"nightly\"", "EOF"),
        ("{\"trigger\": \"nightly\"}", "done_ms"),
        ("{\"trigger\": \"nightly\", \"done_ms\": -1}", "-1"),
        ("{\"trigger\": \"daily\", \"done_ms\": 1}", "`daily`"),
        ("{\"trigger\": \"nightly\", \"done_ms\": 18446744073709551615}", ""),
        (&" ".repeat(5000), "5000 bytes"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("schedules")).unwrap();
        fs::write(dir.path().join("schedules/nightly.json"), text).unwrap();
        match kept(dir.path()).read() {
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("schedules/nightly.json") && told.contains(word), "{text}: {told}");
            }
            // More milliseconds than anybody lives through are a time.
            Ok(time) => assert!(word.is_empty() && time.is_some(), "{text}"),
        }
    }
}
