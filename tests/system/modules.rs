//! Modules that are dropped, and daemons of the template.

use crate::{guests, machine::Machine};

pub(crate) fn dropped(machine: &Machine) {
    machine.ok("useradd --create-home --groups wapcd ada && useradd --create-home eve");
    machine.put("/tmp/greeter.wasm", guests::menu());
    machine.ok("chmod a+r /tmp/greeter.wasm");

    machine.ok("runuser -u ada -- cp /tmp/greeter.wasm /var/lib/wapcd/modules/greeter.wasm");
    machine.until("runuser -u ada -- wapcctl call greeter echo --payload hello | grep -qx hello");
    assert_eq!(machine.ok("stat --format %U:%G /var/lib/wapcd/modules/greeter.wasm"), "ada:wapcd");

    // A stranger neither gets in, nor talks to the daemon.
    machine.fails("runuser -u eve -- cp /tmp/greeter.wasm /var/lib/wapcd/modules/evil.wasm");
    machine.fails("runuser -u eve -- wapcctl call greeter echo --payload hello");
    // What is theirs does not run, however it got there.
    machine.ok("install --owner eve --mode 644 /tmp/greeter.wasm /var/lib/wapcd/modules/evil.wasm");
    machine.until("wapcctl events | grep -q evil.wasm");
    machine.fails("wapcctl call evil echo --payload hello");

    machine.ok("runuser -u ada -- rm /var/lib/wapcd/modules/greeter.wasm");
    machine.until("! wapcctl call greeter echo --payload hello");
}

pub(crate) fn instances(machine: &Machine) {
    guests::put(machine);
    for name in ["one", "two"] {
        machine.put(&format!("/etc/wapcd/{name}/wapcd.toml"), guests::module(name, ""));
    }
    machine.ok("systemctl start wapcd@one wapcd@two");
    let ctl = |instance: &str, arguments: &str| {
        machine.run(&format!("wapcctl --socket /run/wapcd-{instance}/wapcd.sock {arguments}"))
    };
    let answers =
        |instance: &str, module: &str| ctl(instance, &format!("call {module} echo --payload hi")).stdout == "hi";
    assert!(answers("one", "one") && answers("two", "two"));
    assert!(!answers("one", "two") && !answers("two", "one"));
    machine.until_property("wapcd@one", "StatusText", "1 module running");
    for path in ["/var/lib/wapcd-one", "/var/cache/wapcd-two", "/run/wapcd-one"] {
        assert_eq!(machine.ok(&format!("stat --format %U {path}")), "wapcd");
    }

    // Each is reloaded, and stopped, alone.
    let process = machine.property("wapcd@two", "MainPID");
    machine.put("/etc/wapcd/two/wapcd.toml", guests::module("other", ""));
    machine.ok("systemctl reload wapcd@two");
    assert!(answers("two", "other") && !answers("two", "two") && !answers("one", "other"));
    machine.put("/etc/wapcd/two/wapcd.toml", "nonsense");
    machine.fails("systemctl reload wapcd@two");
    machine.ok("systemctl stop wapcd@one");
    assert!(answers("two", "other"));
    assert_eq!(machine.property("wapcd@two", "MainPID"), process);
    assert_eq!(machine.ok("systemctl is-active wapcd wapcd@two"), "active\nactive");
}

/// The lines of docs/service.md about a daemon with a user of its own.
fn own_user_lines() -> Vec<&'static str> {
    const SERVICE: &str = include_str!("../../docs/service.md");
    let section =
        SERVICE.split("\n### ").find(|section| section.starts_with("A daemon with a user of its own\n")).unwrap();
    section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap().lines().collect()
}

pub(crate) fn own_user(machine: &Machine) {
    guests::put(machine);
    for name in ["shop", "mail"] {
        machine.put(&format!("/etc/wapcd/{name}/wapcd.toml"), guests::counter());
    }
    let count = |name: &str| {
        let socket = format!("/run/wapcd-{name}/wapcd.sock");
        machine.ok(&format!("wapcctl --socket {socket} call counter {} --payload '{}'", guests::COUNT, guests::KEY))
    };
    machine.ok("systemctl start wapcd@shop wapcd@mail && useradd --groups wapcd ada");
    let first = [count("shop"), count("mail")];
    // By default they share a user, as the page says.
    let look = "test -r /var/lib/wapcd-shop/cache.redb";
    machine.ok(&format!("runuser -u wapcd -- {look}"));
    machine.ok("runuser -u ada -- wapcctl --socket /run/wapcd-shop/wapcd.sock status");

    for line in own_user_lines() {
        machine.ok(line);
    }
    assert_ne!(count("shop"), first[0], "it goes on counting");
    assert_eq!(
        machine.ok("ps --no-headers -o user:16 -p $(systemctl show --value --property MainPID wapcd@shop)"),
        "wapcd-shop"
    );
    for (path, owner) in [
        ("/var/lib/wapcd-shop", "750 wapcd-shop:wapcd-shop"),
        ("/var/cache/wapcd-shop", "700 wapcd-shop:wapcd-shop"),
        ("/run/wapcd-shop/wapcd.sock", "660 wapcd-shop:wapcd-shop"),
    ] {
        assert_eq!(machine.ok(&format!("stat --format '%a %U:%G' {path}")), owner, "{path}");
    }
    // Neither the user of the others, nor who may ask them.
    machine.fails(&format!("runuser -u wapcd -- {look}"));
    machine.fails("runuser -u wapcd -- wapcctl --socket /run/wapcd-shop/wapcd.sock status");
    machine.fails("runuser -u wapcd -- kill -0 $(systemctl show --value --property MainPID wapcd@shop)");
    machine.fails("runuser -u ada -- wapcctl --socket /run/wapcd-shop/wapcd.sock status");
    machine.fails("runuser -u wapcd-shop -- test -r /var/lib/wapcd-mail/cache.redb");
    machine.ok("systemctl reload wapcd@shop && runuser -u ada -- wapcctl --socket /run/wapcd-mail/wapcd.sock status");
    assert_ne!(count("mail"), first[1]);
}
