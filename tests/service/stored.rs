//! Sockets that outlive the daemon: a client that comes between two daemons is served by the next.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd, RawFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt as _,
        },
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use rustix::process::Signal;

use crate::{
    harness::{Daemon, Home, SOON, command, eventually, module, own_host},
    manager::Manager,
};

/// The number of the first socket that a daemon is given: from it on nothing else is open in it.
const FIRST: RawFd = 700;

/// A module, and a trigger that listens there.
fn toml(listen: &str) -> String {
    format!(
        "{}[triggers.web]\ntype = \"http\"\nlisten = [{listen}]\n[[triggers.web.routes]]\npath = \"/\"\nmodule = \"m\"\n\
         operation = \"echo\"\n",
        module("m", "")
    )
}

/// A request that is sent and not answered yet.
fn ask<S: std::io::Write>(mut stream: S) -> S {
    stream.write_all(b"POST / HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello").unwrap();
    stream
}

fn assert_answered(mut stream: impl std::io::Read) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
}

fn connect_unix(home: &Home) -> UnixStream {
    let stream = UnixStream::connect(home.path().join("run/web.sock")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Starts a daemon with these sockets, under these names, as a service manager does; only their order tells which is which.
fn spawn_with(manager: &Manager, home: Home, sockets: &[(&str, &dyn AsFd)]) -> Daemon {
    let numbers: Vec<RawFd> = sockets.iter().map(|(_, socket)| socket.as_fd().as_raw_fd()).collect();
    let mut command = command(env!("CARGO_BIN_EXE_wapcd"));
    let copy = move || {
        for (number, place) in numbers.iter().zip(FIRST..) {
            #[allow(unsafe_code, reason = "no safe library that is used here copies to a number")]
            // SAFETY: it takes numbers only, and what had the new one is open in this process no more in any case.
            let copied = unsafe { libc::dup2(*number, place) };
            if copied == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // In the daemon's own process: here they would be open in all that the other tests start meanwhile, too.
    #[allow(unsafe_code, reason = "this is how a program is started with descriptors of certain numbers")]
    // SAFETY: the closure makes system calls only, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(copy);
    }
    let names: Vec<_> = sockets.iter().map(|(name, _)| *name).collect();
    let (first, count, names) = (FIRST.to_string(), sockets.len().to_string(), names.join(":"));
    let variables = [
        ("NOTIFY_SOCKET", manager.address()),
        ("LISTEN_FDS", &count),
        ("LISTEN_FDS_FIRST_FD", &first),
        ("LISTEN_FDNAMES", &names),
    ];
    home.spawn_by("log", command, &variables)
}

/// Takes the socket that was stored under that name.
fn stored(manager: &Manager, name: &str) -> OwnedFd {
    let at = manager
        .wait(0, "a socket is stored", |message| message.has("FDSTORE=1") && message.value("FDNAME") == Some(name));
    manager.look(|all| {
        assert_eq!(all[at].descriptors.len(), 1);
        all[at].descriptors[0].try_clone().unwrap()
    })
}

fn is_removed(manager: &Manager, from: usize, name: &str) -> usize {
    manager.wait(from, "a socket is given up", |message| {
        message.has("FDSTOREREMOVE=1") && message.value("FDNAME") == Some(name)
    })
}

#[test]
fn a_client_that_comes_between_two_daemons_is_served_by_the_next() {
    let manager = Manager::new();
    let mut daemon = manager.start(&toml("\"unix:web.sock\""));
    let name = format!("wapcd-stored-unix-{}/run/web.sock", daemon.home().path().display());
    let socket = stored(&manager, &name);
    let before = ask(connect_unix(daemon.home()));
    assert_answered(before);

    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let home = daemon.kept_home();
    assert_eq!(manager.look(|all| all.iter().filter(|message| message.has("FDSTOREREMOVE=1")).count()), 0);
    let between = ask(connect_unix(&home));

    let from = manager.count();
    let mut next = spawn_with(&manager, home, &[(&name, &socket)]);
    manager.wait_for(from, "READY=1");
    assert_answered(between);
    assert_answered(ask(connect_unix(next.home())));

    // Nobody listens there any more: neither the daemon nor the service manager keeps it.
    let from = manager.count();
    next.home().configure(&module("m", ""));
    next.ctl(&["reload"]);
    is_removed(&manager, from, &name);
    eventually("the file goes with the socket", || !next.home().path().join("run/web.sock").exists());
    next.signal(Signal::TERM);
    assert_eq!(next.wait().code(), Some(0));
}

#[test]
fn requests_that_come_all_through_a_restart_are_all_answered() {
    let manager = Manager::new();
    let mut daemon = manager.start(&toml("\"unix:web.sock\""));
    let name = format!("wapcd-stored-unix-{}/run/web.sock", daemon.home().path().display());
    let (socket, path) = (stored(&manager, &name), daemon.home().path().join("run/web.sock"));
    let end = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (end, path) = (Arc::clone(&end), path.clone());
            std::thread::spawn(move || {
                let mut answered = 0;
                while !end.load(Relaxed) {
                    let stream = UnixStream::connect(&path).expect("nobody is refused");
                    stream.set_read_timeout(Some(SOON)).unwrap();
                    assert_answered(ask(stream));
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for _ in 0..3 {
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.wait().code(), Some(0));
        let (from, home) = (manager.count(), daemon.kept_home());
        daemon = spawn_with(&manager, home, &[(&name, &socket)]);
        manager.wait_for(from, "READY=1");
    }
    end.store(true, Relaxed);
    for client in clients {
        assert!(client.join().unwrap() > 3, "each was answered before, between and after");
    }
}

#[test]
fn stored_sockets_are_found_by_their_address_and_those_that_nobody_wants_are_closed() {
    let manager = Manager::new();
    // An address of its own, at which nobody listens when the daemon does not.
    let host = own_host();
    let bind = || TcpListener::bind((host.as_str(), 0)).unwrap();
    let (wanted, unwanted, given) = (bind(), bind(), bind());
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let (at, left, by_name) = (address(&wanted), address(&unwanted), address(&given));
    let home = Home::new(&toml(&format!("\"{at}\", \"inherited:web\"")));
    // While another listens there, it could not be bound anew.
    let sockets: [(&str, &dyn AsFd); 3] =
        [("web", &given), ("wapcd-stored-any", &wanted), ("wapcd-stored-other", &unwanted)];
    let _daemon = spawn_with(&manager, home, &sockets);
    let ready = manager.wait_for(0, "READY=1");
    assert!(is_removed(&manager, 0, "wapcd-stored-other") > ready, "it might have been wanted until then");
    drop((wanted, unwanted, given));
    for address in [at, by_name] {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        assert_answered(ask(stream));
    }
    eventually("the other one is closed", || TcpStream::connect(left).is_err());
    let stored = manager.look(|all| all.iter().filter(|message| message.has("FDSTORE=1")).count());
    assert_eq!(stored, 0, "they are stored already, or belong to a unit of their own");
}

#[test]
fn a_stored_socket_whose_file_is_gone_is_given_up_and_made_anew() {
    let manager = Manager::new();
    let mut daemon = manager.start(&toml("\"unix:web.sock\""));
    let name = format!("wapcd-stored-unix-{}/run/web.sock", daemon.home().path().display());
    let socket = stored(&manager, &name);
    daemon.signal(Signal::TERM);
    daemon.wait();
    let home = daemon.kept_home();
    std::fs::remove_file(home.path().join("run/web.sock")).unwrap();
    let from = manager.count();
    let next = spawn_with(&manager, home, &[(&name, &socket)]);
    let ready = manager.wait_for(from, "READY=1");
    let removed = is_removed(&manager, from, &name);
    let again = manager.wait(from, "it is stored anew", |message| message.has("FDSTORE=1"));
    assert!(removed < again && again < ready, "{removed} {again} {ready}");
    assert_answered(ask(connect_unix(next.home())));
}

#[test]
fn a_socket_that_somebody_else_has_put_in_place_of_a_stored_one_is_left_alone() {
    for wanted_by_the_next in ["\"unix:web.sock\"", "\"127.0.0.1:0\""] {
        let manager = Manager::new();
        let mut daemon = manager.start(&toml("\"unix:web.sock\""));
        let name = format!("wapcd-stored-unix-{}/run/web.sock", daemon.home().path().display());
        let socket = stored(&manager, &name);
        daemon.signal(Signal::TERM);
        daemon.wait();
        let home = daemon.kept_home();
        let path = home.path().join("run/web.sock");
        std::fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        home.configure(&toml(wanted_by_the_next));
        let from = manager.count();
        let mut next = spawn_with(&manager, home, &[(&name, &socket)]);
        manager.wait_for(from, "READY=1");
        is_removed(&manager, from, &name);
        next.signal(Signal::TERM);
        next.wait();
        let _client = UnixStream::connect(&path).unwrap();
        other.accept().unwrap();
    }
}

#[test]
fn a_daemon_that_is_told_of_more_sockets_than_there_can_be_starts_without_any() {
    let home = Home::new(&toml("\"unix:web.sock\""));
    let mut daemon = home.spawn_with("log", &[("LISTEN_FDS", "2147483647")]);
    daemon.wait_until_ready();
    assert_answered(ask(connect_unix(daemon.home())));
}

#[test]
fn without_a_service_manager_the_file_of_a_socket_goes_with_the_daemon() {
    let mut daemon = Daemon::start(&toml("\"unix:web.sock\""));
    eventually("it listens", || daemon.home().path().join("run/web.sock").exists());
    daemon.signal(Signal::TERM);
    daemon.wait();
    assert!(!daemon.home().path().join("run/web.sock").exists());
}
