//! Sockets as their users meet them: one for all who ask, closed with the last.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use super::*;
use crate::host::chain;

fn one(sockets: &Arc<Sockets>, listen: &Listen) -> Bound {
    let mut bound = sockets.listen(listen).unwrap();
    assert_eq!(bound.len(), 1);
    bound.pop().unwrap()
}

#[test]
fn whoever_asks_for_an_open_port_gets_the_same_and_the_last_user_closes_it() {
    let sockets = Arc::new(Sockets::default());
    let first = one(&sockets, &Listen::Tcp("127.0.0.1:0".parse().unwrap()));
    let address = first.address().unwrap();
    assert!(!first.is_shared());
    let second = one(&sockets, &Listen::Tcp(address));
    assert!(first.is_shared() && second.is_shared());

    let _client = TcpStream::connect(address).unwrap();
    drop(first);
    assert!(!second.is_shared());
    assert!(matches!(second.accept().unwrap(), Stream::Tcp(..)), "what waited is lost");
    drop(second);
    // A child that another test starts has for a moment what was open when it was started.
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "somebody listens");
        std::thread::yield_now();
    }
    assert!(sockets.open.lock().is_empty());
}

#[test]
fn a_port_that_is_chosen_is_another_each_time() {
    let sockets = Arc::new(Sockets::default());
    let any = Listen::Tcp("127.0.0.1:0".parse().unwrap());
    let (first, second) = (one(&sockets, &any), one(&sockets, &any));
    assert_ne!(first.address(), second.address());
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let sockets = Arc::new(Sockets::default());
    let error = chain(&sockets.listen(&Listen::Tcp(address)).unwrap_err());
    assert!(error.starts_with(&format!("cannot listen at `{address}`: Address already in use")), "{error}");
    assert!(sockets.open.lock().is_empty());
}

#[test]
fn a_unix_socket_is_shared_and_removed_with_its_last_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    let sockets = Arc::new(Sockets::default());
    let listen = Listen::Unix { path: path.clone(), mode: 0o600 };
    let (first, second) = (one(&sockets, &listen), one(&sockets, &listen));
    drop(first);
    let _client = UnixStream::connect(&path).unwrap();
    assert!(matches!(second.accept().unwrap(), Stream::Unix(_)));
    drop(second);
    assert!(!path.exists());
}

#[test]
fn what_lies_at_the_path_of_a_unix_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("web.sock");
    std::fs::write(&path, "kept").unwrap();
    let sockets = Arc::new(Sockets::default());
    let error = sockets.listen(&Listen::Unix { path: path.clone(), mode: 0o600 }).unwrap_err();
    let at = path.display();
    assert_eq!(chain(&error), format!("cannot listen at `unix:{at}`: what lies there is no socket"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "kept");
}

#[test]
fn a_name_that_no_socket_has_is_told_with_those_that_there_are() {
    let socket = |name: &str| Inherited {
        name: name.to_owned(),
        socket: Ok(Listener::Tcp(TcpListener::bind("127.0.0.1:0").unwrap())),
    };
    let refused = Inherited { name: "log".to_owned(), socket: Err("fd 5 is not a socket".to_owned()) };
    let inherited = vec![socket("web"), socket("web"), refused];
    let sockets = Arc::new(Sockets { inherited, ..Sockets::default() });
    let listen = |name: &str| sockets.listen(&Listen::Inherited(name.to_owned()));
    let found = listen("web").unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(Bound::is_shared));
    assert_eq!(
        listen("api").unwrap_err().to_string(),
        "the daemon was started without a socket called `api`; it has web, web, log"
    );
    assert_eq!(listen("log").unwrap_err().to_string(), "cannot listen at `inherited:log`: fd 5 is not a socket");
}
