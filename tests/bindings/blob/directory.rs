//! What a directory of objects can suffer: links that lead out of it, strange files, processes that are killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{Got, directory, get, names, put};
use crate::harness::{Format, open, try_open};

fn incoming(path: &Path) -> usize {
    fs::read_dir(path.join("incoming")).unwrap().count()
}

#[actix::test]
async fn operators_find_objects_under_their_names() {
    let place = tempfile::tempdir().unwrap();
    let opened = open(&directory(place.path()));
    put(&opened, "orders", "2024/05/a.pdf", b"content").await.unwrap();
    put(&opened, "orders", "2024", b"beside").await.unwrap();
    let own = place.path().join("modules/orders");
    assert_eq!(fs::read(own.join("2024+/05+/a.pdf")).unwrap(), b"content");
    assert_eq!(fs::read(own.join("2024")).unwrap(), b"beside");
    // What an operator puts there is an object as well.
    fs::write(own.join("2024+/b.txt"), b"by hand").unwrap();
    assert_eq!(get(&opened, "orders", "2024/b.txt").await.unwrap(), b"by hand");
    assert_eq!(names(&opened, "orders", &json!({}), 1).await, ["2024", "2024/05/a.pdf", "2024/b.txt"]);
    for name in ["2024/05/a.pdf", "2024/b.txt", "2024"] {
        opened.call("orders", "delete", json!({"name": name})).await.unwrap();
    }
    assert!(!own.exists(), "empty directories go with the last object");
    assert_eq!(incoming(place.path()), 0);
}

#[actix::test]
async fn links_lead_nowhere() {
    let place = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    let opened = open(&directory(place.path()));
    put(&opened, "m", "real", b"real").await.unwrap();
    let own = place.path().join("modules/m");
    symlink(outside.path(), own.join("way+")).unwrap();
    symlink(outside.path().join("secret"), own.join("file")).unwrap();
    symlink(outside.path(), place.path().join("modules/other")).unwrap();
    for (module, name) in [("m", "way/secret"), ("m", "file"), ("other", "secret")] {
        assert!(get(&opened, module, name).await.unwrap_err().starts_with("not_found: "), "{name}");
        let deleted = opened.call(module, "delete", json!({"name": name})).await;
        assert_eq!(deleted, Ok(json!({"deleted": false})), "{name}");
    }
    assert_eq!(names(&opened, "m", &json!({}), 10).await, ["real"]);
    assert_eq!(names(&opened, "m", &json!({"prefix": "way/"}), 10).await, Vec::<String>::new());
    assert_eq!(names(&opened, "other", &json!({}), 10).await, Vec::<String>::new());
    for (module, name) in [("m", "way/new"), ("other", "new")] {
        let error = put(&opened, module, name, b"x").await.unwrap_err();
        assert!(error.starts_with("unavailable: the directory of binding `files` failed"), "{error}");
    }
    // A link in the place of an object is replaced, not followed.
    put(&opened, "m", "file", b"mine").await.unwrap();
    assert_eq!(get(&opened, "m", "file").await.unwrap(), b"mine");
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(incoming(place.path()), 0);
}

#[actix::test]
async fn what_is_no_object_is_neither_listed_nor_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let opened = open(&directory(place.path()));
    put(&opened, "m", "a", b"").await.unwrap();
    let own = place.path().join("modules/m");
    let made = Command::new("mkfifo").arg(own.join("pipe")).status().unwrap();
    assert!(made.success());
    fs::create_dir(own.join("plain")).unwrap();
    fs::create_dir(own.join("empty+")).unwrap();
    fs::write(own.join("b%"), b"").unwrap();
    fs::write(own.join("line\nbreak"), b"").unwrap();
    assert_eq!(names(&opened, "m", &json!({}), 1).await, ["a"]);
    for name in ["pipe", "plain"] {
        assert!(get(&opened, "m", name).await.unwrap_err().starts_with("not_found: "), "{name}");
    }
    let large = fs::File::create(own.join("large")).unwrap();
    large.set_len(1 << 40).unwrap();
    let error = get(&opened, "m", "large").await.unwrap_err();
    assert!(error.starts_with("too_large: 1099511627776 bytes of object `large`"), "{error}");
    let part: Got =
        opened.ask(Format::Json, "m", "get", &json!({"name": "large", "offset": 1 << 30, "length": 3})).await.unwrap();
    assert_eq!((part.size, part.bytes()), (1 << 40, vec![0; 3]));
}

#[actix::test]
async fn a_directory_belongs_to_one_binding_until_it_is_stopped() {
    let place = tempfile::tempdir().unwrap();
    let first = open(&directory(place.path()));
    first.check().await.unwrap();
    let error = try_open(&directory(place.path())).err().unwrap();
    assert!(error.contains("another wapcd, or another binding, runs on it"), "{error}");
    first.factory().stop();
    let error = put(&first, "m", "x", b"").await.unwrap_err();
    assert_eq!(error, "unavailable: binding `files` is stopped");
    assert!(first.check().await.is_err());
    put(&open(&directory(place.path())), "m", "x", b"").await.unwrap();
}

#[actix::test]
async fn what_cannot_be_a_directory_is_named() {
    let place = tempfile::NamedTempFile::new().unwrap();
    let error = try_open(&directory(place.path())).err().unwrap();
    let expected = format!("binding `files`: cannot use the directory `{}`: ", place.path().display());
    assert!(error.starts_with(&expected), "{error}");
}

#[actix::test]
async fn a_full_disk_is_said_and_leaves_nothing_behind() {
    // `/dev/full` is no directory, and mounting one needs rights: a limit of the process takes its place, in a process of its own.
    let place = tempfile::tempdir().unwrap();
    if let Some(path) = std::env::var_os(WRITER) {
        let opened = open(&directory(Path::new(&path)));
        put(&opened, "m", "small", b"fits").await.unwrap();
        let error = put(&opened, "m", "large", &[1; 60_000]).await.unwrap_err();
        assert!(error.starts_with("unavailable: the directory of binding `files` failed"), "{error}");
        assert_eq!(names(&opened, "m", &json!({}), 10).await, ["small"]);
        assert_eq!(incoming(Path::new(&path)), 0);
        return;
    }
    let test = "blob::directory::a_full_disk_is_said_and_leaves_nothing_behind";
    // SIGXFSZ would end the process, so it is ignored; blocks of 512 bytes or 1 KiB, as the shell likes.
    let script = format!("trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact {test}");
    let mut shell = Command::new("sh");
    let output =
        shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(WRITER, place.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Tells a process of this test where it should write.
const WRITER: &str = "WAPCD_TEST_BLOB_WRITER";

/// What the writer's object of this number has in it.
fn content(number: usize) -> Vec<u8> {
    number.to_string().repeat(1000 + number % 7 * 1000).into_bytes()
}

/// Writes object after object, some of them again and again, and says the number of each when it is acknowledged.
async fn write_until_killed(path: &Path) {
    let opened = open(&directory(path));
    for first in (0..).step_by(4) {
        let puts = (first..first + 4).map(|number| {
            let opened = opened.clone();
            async move {
                put(&opened, "m", &name(number), &content(number)).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {number}").unwrap();
                out.flush().unwrap();
            }
        });
        futures_util::future::join_all(puts).await;
    }
}

/// One of twelve objects, in directories that come with them.
fn name(number: usize) -> String {
    format!("{}/{}/object", number % 3, number % 4)
}

#[actix::test]
async fn a_killed_process_leaves_whole_objects_and_all_that_it_acknowledged() {
    if let Some(path) = std::env::var_os(WRITER) {
        return write_until_killed(Path::new(&path)).await;
    }
    for kills_after in [1, 17, 60] {
        let place = tempfile::tempdir().unwrap();
        let test = "blob::directory::a_killed_process_leaves_whole_objects_and_all_that_it_acknowledged";
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(WRITER, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
        let mut count = 0;
        for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("acknowledged ") else { continue };
            let number = number.parse().unwrap();
            acknowledged.insert(name(number), number);
            count += 1;
            if count == kills_after {
                // In the middle of the next ones; what it says until then is read as well.
                writer.kill().unwrap();
            }
        }
        writer.wait().unwrap();
        assert!(count >= kills_after, "the writer ended by itself after {count} objects");
        let opened = open(&directory(place.path()));
        assert_eq!(incoming(place.path()), 0, "half-written puts are cleaned");
        let listed = names(&opened, "m", &json!({}), 1000).await;
        for name in acknowledged.keys() {
            assert!(listed.contains(name), "{name} was acknowledged and is not there: {listed:?}");
        }
        for name in &listed {
            let found = get(&opened, "m", name).await.unwrap();
            let last = acknowledged.get(name).copied();
            // Or one that was put and not acknowledged any more: it is whole.
            let later = (0..count + 12).filter(|number| self::name(*number) == *name && Some(*number) >= last);
            assert!(
                later.clone().any(|number| content(number) == found),
                "{name} has {} bytes of nobody's",
                found.len()
            );
        }
    }
}

#[actix::test]
async fn checks_and_calls_come_back_when_the_directory_does() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blobs");
    let opened = open(&directory(&path));
    opened.check().await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    let error = opened.check().await.unwrap_err();
    assert!(error.contains("the directory of binding `files` failed: No such file"), "{error}");
    let error = put(&opened, "m", "x", b"").await.unwrap_err();
    assert!(error.starts_with("unavailable: "), "{error}");
    let listed: Value = opened.call("m", "list", json!({})).await.unwrap();
    assert_eq!(listed, json!({"objects": []}));
}
