//! Files that cannot be read, and those that can.

use std::{fs, os::unix::fs::symlink, path::Path};

use super::{super::load, user};

fn refused(path: &Path) -> String {
    let report = load(path, &user()).unwrap_err().to_string();
    assert!(report.starts_with(&format!("{}:", path.display())), "{report}");
    report
}

#[test]
fn an_empty_file_is_a_configuration_without_modules() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wapcd.toml");
    fs::write(&path, "").unwrap();
    let config = load(&path, &user()).unwrap();
    assert_eq!(config.source, path);
    assert!(config.modules.is_empty());
}

#[test]
fn a_relative_path_is_meant_against_the_current_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("wapcd.toml"), "[modules.a]\npath = \"a.wasm\"\n").unwrap();
    let env = super::Environment { current_dir: directory.path().to_owned(), ..user() };
    let config = load(Path::new("wapcd.toml"), &env).unwrap();
    assert_eq!(config.modules[0].path, directory.path().join("a.wasm"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wapcd.toml");
    fs::write(&path, "\u{feff}[daemon]\r\nworkers = 3\r\n").unwrap();
    assert_eq!(load(&path, &user()).unwrap().daemon.workers, 3);
}

#[test]
fn what_is_no_readable_file_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    assert!(refused(directory.path()).contains("found a directory, expected a TOML file"));
    let missing = refused(&directory.path().join("missing.toml"));
    assert!(missing.contains("found no such file") && missing.contains("os error 2"), "{missing}");
    assert!(refused(Path::new("/dev/null")).contains("found a device"));
    let circle = directory.path().join("circle.toml");
    symlink(&circle, &circle).unwrap();
    assert!(refused(&circle).contains("cannot be read"));
    assert!(refused(Path::new("/dev/null/x.toml")).contains("cannot be read"));
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_the_place_of_the_first_such_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wapcd.toml");
    fs::write(&path, b"# gr\xc3\xbc\xc3\x9fe\n[daemon] # \xff\n").unwrap();
    assert!(refused(&path).contains(":2:12: found the byte 0xff, which is not UTF-8, expected UTF-8 text"));
    fs::write(&path, b"\x00asm\x01\x00\x00\x00").unwrap();
    assert!(refused(&path).contains("not TOML"));
}

#[test]
fn a_file_of_absurd_size_is_refused_without_being_read_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wapcd.toml");
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert!(refused(&path).contains("found more than 16 MiB"));
}
