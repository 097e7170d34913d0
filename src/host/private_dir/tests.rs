//! What others could reach is refused, and files are whole.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn a_directory_is_made_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("above/private");
    assert!(PrivateDir::open(&path).unwrap().is_none());
    PrivateDir::make(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
    PrivateDir::make(&path).unwrap();
}

#[test]
fn what_others_could_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |name: &str| PrivateDir::make(&dir.path().join(name)).unwrap_err().to_string();
    PrivateDir::make(&dir.path().join("real")).unwrap();
    symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    assert!(refusal("link").ends_with("link` is a symbolic link, expected a directory"));
    symlink(dir.path().join("nowhere"), dir.path().join("dangling")).unwrap();
    assert!(refusal("dangling").ends_with("dangling` is a symbolic link, expected a directory"));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(refusal("file").ends_with("file` is a file, expected a directory"));
    for mode in [0o755, 0o710, 0o701, 0o770] {
        fs::set_permissions(dir.path().join("real"), fs::Permissions::from_mode(mode)).unwrap();
        let text = refusal("real");
        assert!(text.contains(&format!("real` has mode {mode:04o}, expected 0700")), "{text}");
    }
}

#[test]
fn the_directory_of_another_user_is_refused() {
    // Only root can make one, and for anybody else the root directory is one.
    let dir = tempfile::tempdir().unwrap();
    let path = match user() {
        0 => {
            std::os::unix::fs::chown(dir.path(), Some(4242), None).unwrap();
            dir.path()
        }
        _ => Path::new("/"),
    };
    assert!(matches!(PrivateDir::open(path), Err(DirectoryError::Owner { .. })));
}

#[test]
fn a_file_is_the_old_one_or_the_new_one_wherever_writing_fails() {
    use faults::Fault;
    let dir = tempfile::tempdir().unwrap();
    for fault in [Fault::Once, Fault::Crash] {
        for at in 0.. {
            let private = PrivateDir::make(&dir.path().join("private")).unwrap();
            private.write("name", &[b"old"], Durable::Yes).unwrap();
            let write = || private.write("name", &[b"n", b"ew"], Durable::Yes);
            let Some(written) = faults::with(at, fault, write) else { break };
            assert!(written.is_err());
            let text = fs::read_to_string(private.path_of("name")).unwrap();
            assert!(text == "old" || text == "new", "{text}");
            assert!(fault == Fault::Crash || private.names().unwrap() == ["name"], "nothing is left over");
            private.remove_leftovers().unwrap();
            assert_eq!(private.names().unwrap(), ["name"]);
            assert!(at < 20);
        }
    }
}

#[test]
fn what_is_being_written_is_not_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let private = PrivateDir::make(&dir.path().join("private")).unwrap();
    fs::write(private.path_of(".dead.tmp"), "").unwrap();
    fs::write(private.path_of(".held.tmp"), "").unwrap();
    let held = File::open(private.path_of(".held.tmp")).unwrap();
    held.lock().unwrap();
    private.remove_leftovers().unwrap();
    assert_eq!(private.names().unwrap(), [".held.tmp"]);
}

#[test]
fn only_a_regular_file_of_ours_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let private = PrivateDir::make(&dir.path().join("private")).unwrap();
    private.write("good", &[b"x"], Durable::No).unwrap();
    private.file("good").unwrap();
    symlink(private.path_of("good"), private.path_of("link")).unwrap();
    fs::create_dir(private.path_of("dir")).unwrap();
    fs::write(private.path_of("open"), "x").unwrap();
    fs::set_permissions(private.path_of("open"), fs::Permissions::from_mode(0o666)).unwrap();
    for name in ["link", "dir", "open", "nothing"] {
        assert!(private.file(name).is_err(), "{name}");
    }
}
