//! Who may do what on the socket: every path by every kind of caller, over real connections.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream, process::CommandExt as _},
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use rustix::process::{getegid, geteuid};
use wapcd::control::{ControlSocket, Grants, SocketError};

use crate::{
    children,
    fake::{Running, settings},
    http::{get, post, send},
    wapcctl::{code, err, out, wapcctl},
};

/// A group that nobody is in.
const NOBODYS: &str = "3999999999";

/// This process is a member of no list but these; being root or the daemon's user does not help it.
fn with(readers: &[&str], operators: &[&str]) -> Running {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (readers, operators) = (own(readers), own(operators));
    Running::with(|settings| settings.grants = Grants { readers, operators, trusted: BTreeSet::new() })
}

fn own_group() -> String {
    getegid().as_raw().to_string()
}

/// Questions, and what is none; what of these follows is in neither.
const READS: [&str; 7] =
    ["/v1/status", "/v1/modules", "/v1/modules/echo", "/v1/bindings", "/v1/triggers", "/v1/events", "/metrics"];
const OPERATES: &[(&str, &str)] = &[
    ("POST", "/v1/modules/echo/call/op"),
    ("POST", "/v1/modules/echo/call"),
    ("POST", "/v1/modules/echo/start"),
    ("POST", "/v1/modules/echo/stop"),
    ("POST", "/v1/modules/echo/restart"),
    ("POST", "/v1/modules/echo/swap"),
    ("POST", "/v1/modules/echo/rollback"),
    ("POST", "/v1/reload"),
    ("POST", "/v1/bindings/bus/messages?topic=t"),
    ("GET", "/v1/bindings/bus/messages"),
    ("POST", "/v1/triggers/web/stop"),
    ("POST", "/v1/triggers/web/run"),
    #[cfg(feature = "fault-injection")]
    ("POST", "/v1/workers/0/end"),
];

#[test]
fn a_reader_sees_everything_and_changes_nothing() {
    let running = with(&[NOBODYS, &own_group()], &[NOBODYS]);
    for path in READS {
        assert_eq!(get(&running.socket(), path).status, 200, "{path}");
    }
    for (method, path) in OPERATES {
        let response = send(&running.socket(), method, path, "", b"");
        assert_eq!((response.status, response.kind().as_str()), (403, "forbidden"), "{path}");
        let detail = response.problem()["detail"].as_str().unwrap().to_owned();
        let needed = format!("it takes membership in `{NOBODYS}` (`control.operators`)");
        assert!(detail.contains(&needed) && detail.contains(&format!("user {}", geteuid().as_raw())), "{detail}");
    }
    assert!(running.fake.swaps.lock().is_empty());
}

#[test]
fn an_operator_does_everything_and_a_stranger_nothing() {
    let running = with(&[], &[&own_group()]);
    for path in READS {
        assert_eq!(get(&running.socket(), path).status, 200, "{path}");
    }
    for (method, path) in OPERATES {
        assert_ne!(send(&running.socket(), method, path, "", b"").status, 403, "{path}");
    }
    let running = with(&[NOBODYS], &[]);
    for path in READS {
        let response = get(&running.socket(), path);
        assert_eq!((response.status, response.kind().as_str()), (403, "forbidden"), "{path}");
    }
    for (method, path) in OPERATES {
        assert_eq!(send(&running.socket(), method, path, "", b"").status, 403, "{path}");
    }
    // What is not there is not there for anybody.
    assert_eq!(get(&running.socket(), "/v1/nothing").status, 404);
    assert_eq!(post(&running.socket(), "/v1/status", b"").status, 405);
}

#[test]
fn one_connection_is_checked_at_each_of_its_requests() {
    let running = with(&[&own_group()], &[]);
    let mut stream = UnixStream::connect(running.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for (request, status) in [("GET /v1/modules", "200"), ("POST /v1/reload", "403"), ("GET /v1/modules", "200")] {
        write!(stream, "{request} HTTP/1.1\r\nHost: wapcd\r\nContent-Length: 0\r\n\r\n").unwrap();
        let mut length = 0;
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {line}");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut std::io::Read::take(&mut reader, length), &mut std::io::sink()).unwrap();
    }
}

#[test]
fn who_is_refused_is_told_by_wapcctl_with_an_exit_code_of_its_own() {
    let running = with(&[&own_group()], &[NOBODYS]);
    assert_eq!(code(&wapcctl(&running.socket(), &["status"], b"")), 0);
    let refused = wapcctl(&running.socket(), &["stop", "echo"], b"");
    assert_eq!(code(&refused), 77, "{}", err(&refused));
    let expected = format!("it takes membership in `{NOBODYS}` (`control.operators`)");
    assert!(err(&refused).starts_with("wapcctl: user ") && err(&refused).contains(&expected), "{}", err(&refused));
    let json = wapcctl(&running.socket(), &["--json", "reload"], b"");
    assert_eq!(code(&json), 77);
    assert!(err(&json).contains("urn:wapcd:error:forbidden") && out(&json).is_empty(), "{}", err(&json));
}

/// Runs wapcctl as another user, which takes root.
fn wapcctl_as(user: u32, group: u32, more: &[u32], socket: &Path, arguments: &[&str]) -> Output {
    let more: Vec<String> = more.iter().map(ToString::to_string).collect();
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
    match more.is_empty() {
        true => command.arg("--clear-groups"),
        false => command.arg(format!("--groups={}", more.join(","))),
    };
    // From a place that everybody may enter, which the one of the tests need not be.
    let copy = socket.with_file_name("wapcctl");
    if !copy.exists() {
        // A child that has it open for writing would keep it from being run.
        let _nobody = children::none_starts();
        std::fs::copy(env!("CARGO_BIN_EXE_wapcctl"), &copy).unwrap();
    }
    command.arg(&copy).arg("--socket").arg(socket).args(arguments).env_remove("WAPCD_SOCKET").current_dir("/");
    children::output(command.arg0("setpriv"))
}

#[test]
fn supplementary_groups_count_however_many_there_are() {
    if !geteuid().is_root() {
        // Nobody else can be somebody else; the other tests have this process's own group.
        return;
    }
    let running = Running::with(|settings| {
        settings.socket_mode = 0o666;
        settings.grants = Grants { readers: vec!["4001".into()], operators: vec!["4002".into()], ..Grants::default() };
    });
    std::fs::set_permissions(running.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let many: Vec<u32> = (5_000..5_300).chain([4002]).collect();
    for (primary, more, status, stop) in [
        (3000, &[][..], 77, 77),
        (4001, &[], 0, 77),
        (3000, &[3001, 4001], 0, 77),
        (3000, &[4002], 0, 0),
        (3000, &many, 0, 0),
    ] {
        let run = |arguments: &[&str]| wapcctl_as(3000, primary, more, &running.socket(), arguments);
        let (asked, stopped) = (run(&["status"]), run(&["stop", "echo"]));
        assert_eq!(code(&asked), status, "{primary} {}: {}", more.len(), err(&asked));
        assert_eq!(code(&stopped), stop, "{primary} {}: {}", more.len(), err(&stopped));
    }
    // Root may always do everything.
    assert_eq!(code(&wapcctl(&running.socket(), &["stop", "echo"], b"")), 0);
    let hidden = wapcctl_as(65_534, 4002, &[], &running.socket(), &["status"]);
    assert_eq!(code(&hidden), 77);
    assert!(err(&hidden).contains("PrivateUsers="), "{}", err(&hidden));
}

#[test]
fn the_socket_belongs_to_the_group_that_the_configuration_names() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    settings.socket = dir.path().join("made/wapcd.sock");
    // A group that this process may give files to: as root any, else its own.
    let group = if geteuid().is_root() { 4001 } else { getegid().as_raw() };
    settings.socket_group = Some(group.to_string());
    let socket = ControlSocket::open(&settings).unwrap();
    let found = |path: &Path| (path.metadata().unwrap().gid(), path.metadata().unwrap().mode() & 0o777);
    assert_eq!(found(socket.path()), (group, 0o660));
    assert_eq!(found(socket.path().parent().unwrap()), (group, 0o750));
    drop(socket);

    settings.socket_group = Some("no such group".to_owned());
    let error = ControlSocket::open(&settings).unwrap_err();
    assert!(matches!(&error, SocketError::UnknownGroup(_)), "{error:?}");
    let text = wapcd::host::chain(&error);
    assert!(text.contains("control.socket_group") && text.contains("there is no group `no such group`"), "{text}");
}

#[test]
fn a_group_that_the_daemon_is_not_in_is_refused_and_leaves_no_socket() {
    if geteuid().is_root() {
        // Root may give files to everybody.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir);
    settings.socket_group = Some(NOBODYS.to_owned());
    let error = ControlSocket::open(&settings).unwrap_err();
    assert!(error.to_string().contains("SupplementaryGroups="), "{error}");
    assert!(!settings.socket.exists());
}
