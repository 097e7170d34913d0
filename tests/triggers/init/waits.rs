//! Triggers that wait for a module whose `on_start` fails, and what reloads do to them meanwhile.

use std::os::unix::net::UnixStream;

use wapcd::supervisor::status::ServiceState;

use super::{GATED, STORE, home, hooked, open_gate, spawn, text};
use crate::{
    harness::{Daemon, eventually},
    web,
};

/// The module `m`, and a trigger at that socket of the runtime directory.
fn listening_at(socket: &str) -> String {
    let trigger = format!(
        "[triggers.web]\ntype = \"http\"\nlisten = \"unix:{socket}\"\n\
         routes = [{{ path = \"/\", module = \"m\", operation = \"ready\" }}]\n"
    );
    text(STORE, &format!("{}{trigger}", hooked("m", GATED)))
}

fn listens(daemon: &Daemon, socket: &str) -> bool {
    UnixStream::connect(daemon.home().path().join("run").join(socket)).is_ok()
}

#[test]
fn a_trigger_that_waits_listens_where_the_last_reload_says_and_nowhere_else() {
    let daemon = spawn(home(&hooked("m", GATED)));
    for socket in ["one.sock", "two.sock"] {
        daemon.home().configure(&listening_at(socket));
        daemon.ctl(&["reload"]);
        let waiting = web::status(&daemon, "web").unwrap();
        assert_eq!((waiting.state, waiting.facts), (ServiceState::Starting, None));
    }
    open_gate(&daemon);
    web::wait_until_up(&daemon, "web");
    eventually("it listens there", || listens(&daemon, "two.sock"));
    assert!(!listens(&daemon, "one.sock"), "that was what a reload before wanted");
}
