//! What runs in a box: the menu of the daemon's tests, and configurations around it.

use crate::machine::Machine;

/// Where the guest lies in a box.
pub(crate) const MENU: &str = "/opt/guests/menu.wasm";

/// Has the operation of `counter` count, durably, and answer how many calls that were.
pub(crate) const COUNT: &str = "host/cache//increment";
/// Its payload.
pub(crate) const KEY: &str = r#"{"key":"calls"}"#;

/// Puts the guest into a box.
pub(crate) fn put(machine: &Machine) {
    machine.put(MENU, menu());
}

/// The guest.
pub(crate) fn menu() -> Vec<u8> {
    wat::parse_str(include_str!("../daemon/menu.wat")).unwrap()
}

/// A module that runs the guest, with further keys.
pub(crate) fn module(name: &str, keys: &str) -> String {
    format!("[modules.{name}]\npath = \"{MENU}\"\n{keys}\n")
}

/// A module that counts durably.
pub(crate) fn counter() -> String {
    format!("[bindings.cache]\ntype = \"keyvalue\"\n{}", module("counter", "links = [\"cache\"]"))
}

/// A trigger that lets requests count, each after so many milliseconds.
pub(crate) fn counting(listen: &str, wait_ms: u32) -> String {
    format!(
        "{}[triggers.web]\ntype = \"http\"\nlisten = {listen}\n[[triggers.web.routes]]\npath = \"/count\"\n\
         module = \"counter\"\noperation = \"wait/{wait_ms}/{COUNT}\"\n",
        counter().replace("links", "instances = 16\nlinks")
    )
}

/// Gives the service this configuration beside the shipped one, and the guest, by a reload.
pub(crate) fn configure(machine: &Machine, toml: &str) {
    put(machine);
    machine.put("/etc/wapcd/conf.d/proof.toml", toml);
    machine.ok("systemctl reload wapcd");
}

/// How many calls have counted, this one included.
pub(crate) fn count(machine: &Machine) -> u64 {
    let answer = machine.call("counter", COUNT, KEY);
    let digits: String = answer.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
