//! What the service may, and what it may not.

use crate::{callers::Callers, guests, machine::Machine};

/// What nobody else may read.
const SECRET: &str = "correct-horse-battery-staple";

pub(crate) fn credentials(machine: &Machine) {
    machine.put("/root/api.key", SECRET);
    machine.ok("chmod 600 /root/api.key && useradd --create-home --groups wapcd eve");
    let vault = "[bindings.vault]\ntype = \"secret\"\nsecrets = { api = { credential = \"api\" } }\n";
    let reader = guests::module("reader", "links = [{ to = \"vault\", secrets = [\"api\"] }]");
    let stranger = guests::module("stranger", "");
    guests::put(machine);
    machine.put("/etc/wapcd/conf.d/proof.toml", format!("{vault}{reader}{stranger}"));
    machine.edit("LoadCredential=api:/root/api.key");

    let get = r#"{"name":"api"}"#;
    let answer = machine.call("reader", "host/vault//get", get);
    let encoded = answer.split('"').nth(3).unwrap();
    assert_eq!(machine.ok(&format!("printf %s '{encoded}' | base64 --decode")), SECRET);
    let refused = machine.fails(&format!("wapcctl call stranger host/vault//get --payload '{get}'"));
    assert!(refused.contains("not_granted"), "{refused}");

    // Neither a member of the group, nor whoever looks at the service, its process and its journal.
    machine.fails("runuser -u eve -- cat /run/credentials/wapcd.service/api");
    for line in [
        "systemctl show wapcd",
        "cat /proc/$(systemctl show --value --property MainPID wapcd)/environ",
        "journalctl --no-pager",
        "wapcctl status --json; wapcctl bindings --json; wapcctl events",
        "grep -rs . /var/lib/wapcd /var/cache/wapcd",
    ] {
        machine.fails(&format!("({line}) | grep -a -e {SECRET} -e '{encoded}'"));
    }
}

/// What is tried in the place of the daemon, by its user, in its sandbox: each line must fail.
const FORBIDDEN: &[&str] = &[
    "touch /etc/wapcd/mine",
    "touch /usr/bin/mine",
    "touch /var/lib/mine",
    "touch /opt/mine",
    "test -w /etc/wapcd/wapcd.toml",
    // Homes, and files of others in /tmp.
    "ls /home/eve",
    "ls /root",
    "test -e /tmp/of-others",
    // Other users' processes.
    "test -e /proc/1",
    "pgrep -u root",
    "kill -0 1",
    // Namespaces of its own, of each kind.
    "unshare --user true",
    "unshare --user --net true",
    "unshare --mount true",
    // More rights.
    "mkdir /run/wapcd/x && chmod u+s /run/wapcd/x",
    "setpriv --reuid 0 true",
    "chroot / true",
    "mount -t tmpfs none /run/wapcd",
    "test \"$(nice -n -5 nice)\" = -5",
    "date --set 2001-01-01",
    "hostname other",
    // The kernel's: settings, log, groups, devices.
    "echo 1 > /proc/sys/vm/drop_caches",
    "dmesg",
    "mkdir /sys/fs/cgroup/mine",
    "test -e /dev/kmsg",
    "mknod /run/wapcd/null c 1 3",
];

/// What it needs.
const ALLOWED: &[&str] = &[
    "touch /var/lib/wapcd/mine",
    "touch /var/cache/wapcd/mine",
    "touch /run/wapcd/mine",
    "touch /tmp/mine",
    "cat /etc/wapcd/wapcd.toml",
    "cat /proc/sys/vm/max_map_count",
    "head -c 1 /dev/urandom",
];

pub(crate) fn sandbox(machine: &Machine) {
    machine.ok("useradd --create-home eve && touch /tmp/of-others");
    let lines: String = FORBIDDEN
        .iter()
        .chain(ALLOWED)
        .map(|line| format!("if ({line}) > /dev/null 2>&1; then echo 'done: {line}'; else echo 'denied: {line}'; fi\n"))
        .collect();
    machine.put("/opt/probe", format!("#!/bin/sh\n({lines}) > /run/wapcd/probed\n"));
    machine.ok("chmod 755 /opt/probe");
    // The lines are no nonsense: without the sandbox root may do them all.
    machine.edit("ExecStartPost=/opt/probe");
    let probed = machine.ok("cat /run/wapcd/probed");
    for (lines, word) in [(FORBIDDEN, "denied"), (ALLOWED, "done")] {
        for line in lines {
            let expected = format!("{word}: {line}");
            assert!(probed.lines().any(|it| it == expected), "not {expected}\n{probed}");
        }
    }
    // What it writes is its own.
    assert_eq!(machine.ok("stat --format %a:%U /var/lib/wapcd/mine"), "600:wapcd");
    machine.fails("runuser -u eve -- ls /var/lib/wapcd");
}

pub(crate) fn interpreter(machine: &Machine) {
    let drop_in =
        "install -D -m 644 -t /etc/systemd/system/wapcd.service.d /usr/share/doc/wapcd/examples/interpreter.conf";
    guests::configure(machine, &guests::module("greeter", ""));
    assert_eq!(machine.call("greeter", "echo", "compiled"), "compiled");
    machine.ok(&format!("{drop_in} && systemctl daemon-reload && systemctl restart wapcd"));
    // The drop-in alone does it, and a reload keeps it so, of which the configuration knows nothing.
    assert!(machine.ok("wapcctl status").contains(", engine pulley, "));
    machine.put("/etc/wapcd/conf.d/late.toml", guests::module("late", "engine = \"cranelift\""));
    machine.ok("wapcd check && systemctl reload wapcd");
    assert_eq!(machine.call("late", "echo", "interpreted"), "interpreted");
    assert_eq!(machine.call("greeter", "echo", "interpreted"), "interpreted");
    let trapped = machine.fails("wapcctl call greeter trap");
    assert!(trapped.contains("unreachable"), "{trapped}");
    assert_eq!(machine.call("greeter", "echo", "again"), "again");
    assert_eq!(machine.property("wapcd", "NRestarts"), "0");

    // What it is good for: with no executable memory the compiler cannot run a guest.
    machine.edit("ExecStart=\nExecStart=/usr/bin/wapcd run --config /etc/wapcd/wapcd.toml");
    assert!(machine.ok("wapcctl status").contains(", engine cranelift, "));
    let refused = machine.fails("wapcctl call greeter echo --payload compiled");
    assert!(refused.contains("executable"), "{refused}");
}

pub(crate) fn low_port(machine: &Machine) {
    const ADDRESS: &str = "127.0.0.1:80";
    let answers = || {
        let counted = Callers::start(machine, ADDRESS, "/count", 1).end();
        assert!(counted.answered >= 1 && counted.failed.is_empty() && counted.cut_off == 0, "{counted:?}");
    };
    guests::put(machine);
    machine.put("/etc/wapcd/conf.d/proof.toml", guests::counting(&format!("\"{ADDRESS}\""), 0));
    let refused = machine.fails("wapcctl reload");
    assert!(refused.contains(ADDRESS) && refused.contains("ermission denied"), "{refused}");

    // With what docs/service.md says: that one capability, and no other.
    let lines: Vec<_> =
        include_str!("../../docs/service.md").lines().filter(|line| line.ends_with("=CAP_NET_BIND_SERVICE")).collect();
    assert_eq!(lines.len(), 2);
    machine.edit(&lines.join("\n"));
    answers();
    let status = machine.ok(&format!("cat /proc/{}/status", machine.main_pid()));
    for kind in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{kind}:\t0000000000000400\n")), "{kind} in {status}");
    }

    // With a socket of systemd, without any.
    machine.ok("systemctl stop wapcd && rm /etc/systemd/system/wapcd.service.d/proof.conf");
    machine.put("/etc/wapcd/conf.d/proof.toml", guests::counting("\"inherited:web\"", 0));
    machine.put(
        "/etc/systemd/system/wapcd.socket.d/proof.conf",
        format!("[Socket]\nListenStream=\nListenStream={ADDRESS}\n"),
    );
    machine.ok("systemctl daemon-reload && systemctl enable --now wapcd.socket && systemctl start wapcd.service");
    answers();
    let status = machine.ok(&format!("cat /proc/{}/status", machine.main_pid()));
    assert!(status.contains("CapBnd:\t0000000000000000\n"), "{status}");
}

pub(crate) fn activated_only(machine: &Machine) {
    guests::put(machine);
    let own = guests::counting("\"127.0.0.1:8081\"", 0);
    machine.put("/etc/wapcd/conf.d/proof.toml", guests::counting("\"inherited:web\"", 0));
    machine.ok(
        "install -D -m 644 -t /etc/systemd/system/wapcd.service.d /usr/share/doc/wapcd/examples/activated-only.conf \
         && systemctl daemon-reload && systemctl stop wapcd.service \
         && systemctl enable --now wapcd.socket && systemctl start wapcd.service",
    );
    let counted = Callers::start(machine, "127.0.0.1:8080", "/count", 2).end();
    assert!(counted.answered >= 2 && counted.failed.is_empty() && counted.cut_off == 0, "{counted:?}");
    let process = machine.main_pid();
    let interfaces = machine.ok(&format!("tail -n +3 /proc/{process}/net/dev | cut -d : -f 1"));
    assert_eq!(interfaces.trim(), "lo");
    assert_ne!(machine.ok(&format!("readlink /proc/{process}/ns/net")), machine.ok("readlink /proc/1/ns/net"));
    // It cannot listen by itself.
    machine.put("/etc/wapcd/conf.d/proof.toml", own);
    machine.fails("systemctl reload wapcd");
}
