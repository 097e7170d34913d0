//! Who may do what at the control socket: users of the system, by the groups that they are in.

use crate::{guests, machine::Machine};

/// Exit codes of `wapcctl`, as docs/control.md has them.
const DONE: Option<i32> = Some(0);
const UNREACHABLE: Option<i32> = Some(69);
const DENIED: Option<i32> = Some(77);

/// What tells how the daemon stands, and what changes something or looks into what modules do.
const READS: &[&str] = &["status", "module greeter", "bindings", "events"];
const OPERATES: &[&str] = &["call greeter echo --payload hi", "restart greeter", "reload"];

/// What each user's `wapcctl` ends with, for a question and for what is more than one.
fn assert_rights(machine: &Machine, user: &str, reads: Option<i32>, operates: Option<i32>) {
    for (commands, code) in [(READS, reads), (OPERATES, operates)] {
        for command in commands {
            let said = machine.run(&format!("runuser -u {user} -- wapcctl {command}"));
            assert_eq!(said.code, code, "{user}: wapcctl {command}: {said:?}");
            if code == DENIED {
                let (key, group) =
                    if commands == READS { ("readers", "monitoring") } else { ("operators", "wapcd-admin") };
                for word in [format!("control.{key}"), format!("`{group}`")] {
                    assert!(said.stderr.contains(&word), "{user}: wapcctl {command}: no {word} in {said:?}");
                }
            }
        }
    }
}

/// Gives keys of `[control]` these values, which takes a restart.
fn control(machine: &Machine, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        machine.ok(&format!("sed -i 's/^#*{key} = .*/{key} = {value}/' /etc/wapcd/wapcd.toml"));
        machine.ok(&format!("grep -Fqx '{key} = {value}' /etc/wapcd/wapcd.toml"));
    }
    machine.ok("systemctl restart wapcd");
}

pub(crate) fn control_socket(machine: &Machine) {
    machine.ok("groupadd --system monitoring && groupadd --system wapcd-admin");
    machine.ok("useradd --groups wapcd,monitoring ada && useradd --groups wapcd,wapcd-admin olga");
    machine.ok("useradd --groups wapcd eve && useradd --gid monitoring mia && useradd --groups wapcd-admin otto");
    guests::configure(machine, &guests::module("greeter", ""));
    // As installed, membership in the group is everything that it takes.
    assert_rights(machine, "eve", DONE, DONE);
    assert_rights(machine, "otto", UNREACHABLE, UNREACHABLE);

    control(machine, &[("readers", "[\"monitoring\"]"), ("operators", "[\"wapcd-admin\"]")]);
    assert_rights(machine, "ada", DONE, DENIED);
    assert_rights(machine, "olga", DONE, DONE);
    assert_rights(machine, "eve", DENIED, DENIED);
    for outside in ["mia", "otto"] {
        assert_rights(machine, outside, UNREACHABLE, UNREACHABLE);
    }
    // Root, and the daemon's own user, as which the service manager asks for a reload.
    machine.ok("wapcctl call greeter echo --payload hi && systemctl reload wapcd");

    // The socket for everybody: the lists alone decide, also by the group that a user has first of all.
    control(machine, &[("socket_mode", "\"0666\"")]);
    assert_rights(machine, "mia", DONE, DENIED);
    assert_rights(machine, "otto", DONE, DONE);
    assert_rights(machine, "eve", DENIED, DENIED);

    // The socket for another group, of which the daemon must be a member.
    machine.edit("SupplementaryGroups=monitoring");
    control(machine, &[("socket_mode", "\"0660\""), ("socket_group", "\"monitoring\"")]);
    assert_eq!(machine.ok("stat --format '%a %U:%G' /run/wapcd/wapcd.sock"), "660 wapcd:monitoring");
    assert_rights(machine, "mia", DONE, DENIED);
    for outside in ["olga", "otto", "eve"] {
        assert_rights(machine, outside, UNREACHABLE, UNREACHABLE);
    }
}
