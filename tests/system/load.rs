//! Stops, restarts and an upgrade while clients ask.

use crate::{
    callers::{Callers, Counted},
    guests,
    machine::Machine,
};

/// Where the trigger listens.
const ADDRESS: &str = "127.0.0.1:8080";
/// How many clients ask at once.
const CALLERS: usize = 8;
/// How long a call takes, in milliseconds, so that some always run.
const CALL_MS: u32 = 30;

/// Every request was answered, as often as the guest has counted, and some were.
fn assert_none_lost(machine: &Machine, counted: &Counted) {
    assert_eq!(counted.failed, Vec::<String>::new());
    // Some hundred, where the machine has nothing else to do.
    assert!(counted.answered > 20, "{counted:?}");
    assert_eq!(guests::count(machine), counted.answered + 1, "calls that ran, this one included: {counted:?}");
}

pub(crate) fn stop(machine: &Machine) {
    guests::configure(machine, &guests::counting(&format!("\"{ADDRESS}\""), CALL_MS));
    let callers = Callers::start(machine, ADDRESS, "/count", CALLERS);
    machine.ok("sleep 2 && systemctl stop wapcd");
    let said = ["Result", "ExecMainStatus"].map(|property| machine.property("wapcd", property));
    assert_eq!(said, ["success", "0"]);
    machine.ok("sleep 0.2");
    let counted = callers.end();
    assert!(counted.refused > 0, "{counted:?}");
    machine.ok("systemctl start wapcd");
    assert_none_lost(machine, &counted);
}

pub(crate) fn activated(machine: &Machine) {
    guests::put(machine);
    machine.put("/etc/wapcd/conf.d/proof.toml", guests::counting("\"inherited:web\"", CALL_MS));
    // The first connection starts the service.
    machine.ok("systemctl stop wapcd && systemctl enable --now wapcd.socket");
    assert_eq!(machine.fails("systemctl is-active wapcd.service"), "inactive");
    let callers = Callers::start(machine, ADDRESS, "/count", CALLERS);
    assert_eq!(machine.ok("systemctl is-active wapcd.service"), "active");

    for _ in 0..3 {
        machine.ok("sleep 0.5 && systemctl restart wapcd");
    }
    let process = machine.main_pid();
    machine.ok("DEBIAN_FRONTEND=noninteractive dpkg --install /packages/newer.deb");
    assert_ne!(machine.main_pid(), process);
    machine.ok("sleep 0.5");
    let counted = callers.end();
    assert_eq!((counted.refused, counted.cut_off), (0, 0), "{counted:?}");
    assert_none_lost(machine, &counted);
}

pub(crate) fn stored(machine: &Machine) {
    let listen = format!("[\"{ADDRESS}\", \"unix:web.sock\"]");
    guests::configure(machine, &guests::counting(&listen, CALL_MS));
    let inode = || machine.ok("stat --format %i /run/wapcd/web.sock");
    let (before, callers) = (inode(), Callers::start(machine, ADDRESS, "/count", CALLERS));
    machine.until("test $(systemctl show --value --property NFileDescriptorStore wapcd) -ge 2");
    for _ in 0..3 {
        machine.ok("sleep 0.5 && systemctl restart wapcd");
    }
    machine.ok("sleep 0.5");
    let counted = callers.end();
    assert_eq!((counted.refused, counted.cut_off), (0, 0), "{counted:?}");
    assert_none_lost(machine, &counted);
    assert_eq!(inode(), before, "the Unix socket is another one");

    // Without the trigger nobody listens any more, and nothing is kept.
    machine.ok("rm /etc/wapcd/conf.d/proof.toml && systemctl reload wapcd");
    machine.until("test $(systemctl show --value --property NFileDescriptorStore wapcd) = 0");
    machine.ok("systemctl restart wapcd && test ! -e /run/wapcd/web.sock");
}
