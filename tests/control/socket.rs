//! Whose the socket is: stale, living, foreign, locked, too long; its mode; what is left behind.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixDatagram, UnixListener, UnixStream},
    },
    sync::{Arc, Barrier},
    time::Duration,
};

use wapcd::control::{ControlSocket, SocketError};

use crate::{
    children,
    fake::Running,
    http::{get, post},
};

#[test]
fn a_stale_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wapcd.sock");
    let _nobody = children::none_starts();
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err());
    let socket = ControlSocket::bind(&path, 0o600).unwrap();
    assert!(UnixStream::connect(socket.path()).is_ok());
}

#[test]
fn a_living_socket_is_refused_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wapcd.sock");
    let other = UnixListener::bind(&path).unwrap();
    let error = ControlSocket::bind(&path, 0o600).unwrap_err();
    assert_eq!(error.to_string(), format!("another wapcd answers on {}", path.display()));
    UnixStream::connect(&path).unwrap();
    drop(other);
}

#[test]
fn a_second_daemon_is_told_who_has_the_socket() {
    let running = Running::start();
    let error = ControlSocket::bind(&running.socket(), 0o600).unwrap_err();
    let (pid, path) = (std::process::id(), running.socket());
    assert_eq!(error.to_string(), format!("another wapcd (process {pid}) answers on {}", path.display()));
    assert_eq!(get(&path, "/v1/status").status, 200);
}

#[test]
fn of_many_that_start_at_once_over_a_stale_socket_one_wins() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wapcd.sock");
        let _nobody = children::none_starts();
        drop(UnixListener::bind(&path).unwrap());
        let barrier = Arc::new(Barrier::new(8));
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let (path, barrier) = (path.clone(), barrier.clone());
                std::thread::spawn(move || {
                    barrier.wait();
                    ControlSocket::bind(&path, 0o600)
                })
            })
            .collect();
        // Kept until all have tried, so that a winner that is gone does not make room for the next.
        let results: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(
            results.iter().filter_map(|result| result.as_ref().err()).all(|e| matches!(e, SocketError::InUse { .. }))
        );
        UnixStream::connect(&path).unwrap();
    }
}

#[test]
fn something_else_at_the_path_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file.sock");
    fs::write(&file, "precious").unwrap();
    let link = dir.path().join("link.sock");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &dir.path().to_owned()] {
        let error = ControlSocket::bind(path, 0o600).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let datagram = dir.path().join("datagram.sock");
    let _other = UnixDatagram::bind(&datagram).unwrap();
    let error = ControlSocket::bind(&datagram, 0o600).unwrap_err();
    assert!(matches!(error, SocketError::Probe { .. }), "{error}");
    assert!(datagram.exists());
}

#[test]
fn a_path_that_does_not_fit_is_named_with_its_length() {
    let dir = tempfile::tempdir().unwrap();
    let room = 107 - dir.path().as_os_str().len() - 1;
    let longest = dir.path().join("s".repeat(room));
    drop(ControlSocket::bind(&longest, 0o600).unwrap());
    let error = ControlSocket::bind(&dir.path().join("s".repeat(room + 1)), 0o600).unwrap_err();
    assert!(error.to_string().contains("108 bytes and may have 107"), "{error}");
}

#[test]
fn a_missing_directory_is_made_for_the_owner_and_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run/wapcd/wapcd.sock");
    let _socket = ControlSocket::bind(&path, 0o600).unwrap();
    let mode = fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o027, 0, "{mode:o}");
}

#[test]
fn the_socket_has_the_mode_of_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o660, 0o666] {
        let path = dir.path().join(format!("{mode:o}.sock"));
        let _socket = ControlSocket::bind(&path, mode).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn a_socket_that_somebody_else_put_there_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wapcd.sock");
    let ours = ControlSocket::bind(&path, 0o600).unwrap();
    fs::rename(&path, dir.path().join("moved.sock")).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    drop(ours);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
}

#[test]
fn a_stop_lets_a_running_call_finish_and_removes_the_socket() {
    let running = Running::start();
    let path = running.socket();
    let call = {
        let path = path.clone();
        std::thread::spawn(move || post(&path, "/v1/modules/slow/call/x", b"still here"))
    };
    running.fake.wait_for_calls(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nobody = children::none_starts();
    runtime.block_on(running.handle.stop(Duration::from_secs(10)));
    let answer = call.join().unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"still here".as_slice()));
    assert!(!path.exists());
    drop(ControlSocket::bind(&path, 0o600).unwrap());
    drop(nobody);
}

#[test]
fn a_stop_cuts_off_what_outlives_its_grace_time() {
    let running = Running::start();
    running.fake.bounds.lock().call = Duration::from_secs(600);
    let path = running.socket();
    let mut stream = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"POST /v1/modules/hangs/call/x HTTP/1.1\r\nHost: w\r\n\r\n").unwrap();
    running.fake.wait_for_calls(1);
    let started = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(running.handle.stop(Duration::from_millis(100)));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!path.exists());
}
