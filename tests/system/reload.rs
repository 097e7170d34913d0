//! A reload and its verdict.

use crate::{guests, machine::Machine};

/// A guest whose start function traps.
const BROKEN: &str = r#"(module (memory (export "memory") 1) (func (export "wapc_init") unreachable)
    (func (export "__guest_call") (param i32 i32) (result i32) i32.const 1))"#;

pub(crate) fn verdicts(machine: &Machine) {
    // Another has the port of the trigger that comes later.
    machine.ok("systemctl stop wapcd && systemctl start wapcd.socket wapcd.service");
    let process = machine.main_pid();
    let status = || machine.property("wapcd", "StatusText");

    guests::configure(machine, &guests::module("greeter", ""));
    assert_eq!(machine.call("greeter", "echo", "hello"), "hello");
    machine.until("systemctl show --value --property StatusText wapcd | grep -F 'reloaded with 1 change'");

    // What the files show is refused as a whole. What only the daemon finds is a failure of what it concerns alone.
    machine.put("/opt/guests/broken.wasm", wat::parse_str(BROKEN).unwrap());
    let missing = guests::module("missing", "").replace("menu.wasm", "missing.wasm");
    let broken = guests::module("broken", "").replace("menu.wasm", "broken.wasm");
    let taken = guests::counting("\"127.0.0.1:8080\"", 0);
    for (bad, refused, reason) in [
        ("[modules.greeter]\npaht = \"x\"\n", true, "bad.toml"),
        (&missing, true, "missing"),
        (&broken, false, "(broken)"),
        (&taken, true, "8080"),
    ] {
        machine.put("/etc/wapcd/conf.d/bad.toml", bad);
        machine.fails("systemctl reload wapcd");
        assert_eq!(machine.ok("systemctl is-active wapcd"), "active", "{bad}");
        assert_eq!(machine.main_pid(), process, "{bad}");
        assert_eq!(machine.call("greeter", "echo", "still"), "still", "{bad}");
        machine.until(&format!("systemctl show --value --property StatusText wapcd | grep -F '{reason}'"));
        assert_eq!(status().contains("reload refused"), refused, "{}", status());
        if refused {
            let said = machine.run("wapcctl reload");
            assert_eq!(said.code, Some(1), "{said:?}");
            assert!(said.stderr.contains(reason), "{said:?}");
        }
    }

    machine.ok("rm /etc/wapcd/conf.d/bad.toml && systemctl reload wapcd");
    machine.until("! systemctl show --value --property StatusText wapcd | grep -F refused");
    // The signal does the same without an answer.
    machine.put("/etc/wapcd/conf.d/proof.toml", guests::module("other", ""));
    machine.ok("systemctl kill --signal HUP wapcd");
    machine.until("wapcctl call other echo --payload hi | grep -qx hi");
    assert_eq!(machine.main_pid(), process);
    assert_eq!(machine.property("wapcd", "NRestarts"), "0");
}
