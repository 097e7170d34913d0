//! What lands in the journal.

use crate::{guests, machine::Machine};

pub(crate) fn fields(machine: &Machine) {
    let modules = guests::module("orders", "") + &guests::module("mail", "");
    guests::configure(machine, &modules);
    machine.call("orders", "log", "an order came in");
    machine.call("mail", "log", "a mail went out");

    let of_orders = "journalctl --no-pager --output cat MODULE=orders";
    machine.until(&format!("{of_orders} | grep -qx 'an order came in'"));
    machine.fails(&format!("{of_orders} | grep -q 'a mail went out'"));
    let line = machine.ok("journalctl --no-pager --output json MODULE=orders | grep 'an order came in'");
    for field in [
        "\"INSTANCE\":",
        "\"GENERATION\":\"1\"",
        "\"CALL\":",
        "\"PRIORITY\":\"6\"",
        "\"SYSLOG_IDENTIFIER\":\"wapcd\"",
        "\"_SYSTEMD_UNIT\":\"wapcd.service\"",
    ] {
        assert!(line.contains(field), "{field} in {line}");
    }

    // Who reads the unit's lines alone sees of whom they tell.
    let of_unit = "journalctl --no-pager --output cat --unit wapcd";
    machine.until(&format!("{of_unit} | grep -q 'state changed module=.*orders.* to=.*running'"));

    // What fails is found by its priority, with its reason.
    machine.fails("wapcctl call mail trap");
    machine.until("journalctl --no-pager --priority warning MODULE=mail | grep -q .");
    machine.until("journalctl --no-pager MODULE=mail WAPCD_EXIT_REASON=trapped | grep -q .");
}
