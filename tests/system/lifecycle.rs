//! From the installation to the purge.

use crate::{guests, machine::Machine, package::NEWS};

/// Exposure of the unit at most, in tenths, as `systemd-analyze security` counts it.
const EXPOSURE: u32 = 15;
/// With the drop-in for activated sockets only.
const EXPOSURE_ACTIVATED: u32 = 10;

pub(crate) fn install(machine: &Machine) {
    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get install --yes /packages/wapcd.deb");
    assert_eq!(machine.ok("systemctl is-active wapcd"), "active");
    assert_eq!(machine.ok("systemctl is-enabled wapcd"), "enabled");
    assert_eq!(machine.fails("systemctl is-enabled wapcd.socket"), "disabled");
    assert_eq!(machine.fails("systemctl is-active wapcd.socket"), "inactive");
    assert_eq!(
        machine
            .ok(&format!("ps --no-headers -o user:16,group:16 {}", machine.main_pid()))
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["wapcd", "wapcd"]
    );
    // On a failure with what is not well.
    machine.ok("systemctl is-system-running || { systemctl --no-pager --failed; exit 1; }");
    machine.ok("wapcd check");
    machine.ok("wapcctl status");

    // What the service says of itself.
    machine.until_property("wapcd", "StatusText", "no modules");
    guests::configure(machine, &guests::counting("\"127.0.0.1:8080\"", 0));
    machine.until("systemctl show --value --property StatusText wapcd | grep '^1 module running; 1 trigger'");
    let status = machine.ok("systemctl --no-pager status wapcd");
    for line in ["Active: active (running)", "Status: \"1 module running; 1 trigger", "Docs: man:wapcd(8)"] {
        assert!(status.contains(line), "{line} in:\n{status}");
    }

    // Whose the directories are.
    for (path, owner) in [
        ("/etc/wapcd", "755 root:root"),
        ("/etc/wapcd/wapcd.toml", "644 root:root"),
        ("/etc/wapcd/conf.d", "755 root:root"),
        ("/var/lib/wapcd", "750 wapcd:wapcd"),
        ("/var/lib/wapcd/modules", "2770 root:wapcd"),
        ("/var/cache/wapcd", "700 wapcd:wapcd"),
        ("/run/wapcd", "755 wapcd:wapcd"),
        ("/run/wapcd/wapcd.sock", "660 wapcd:wapcd"),
    ] {
        assert_eq!(machine.ok(&format!("stat --format '%a %U:%G' {path}")), owner, "{path}");
    }
    // Pages and completions.
    for path in [
        "man/man8/wapcd.8.gz",
        "man/man1/wapcctl.1.gz",
        "man/man5/wapcd.toml.5.gz",
        "bash-completion/completions/wapcctl",
        "zsh/vendor-completions/_wapcctl",
        "fish/vendor_completions.d/wapcctl.fish",
        "doc/wapcd/examples/interpreter.conf",
    ] {
        machine.ok(&format!("test -s /usr/share/{path}"));
    }
}

/// Every line that the README has about the service, but the one that builds the package.
pub(crate) fn readme(machine: &Machine) {
    const README: &str = include_str!("../../README.md");
    let section = README.split("\n## ").find(|section| section.starts_with("Install as a service\n")).unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines: Vec<_> = blocks.flat_map(str::lines).filter(|line| *line != "scripts/package").collect();
    assert!(lines.len() > 5, "{lines:?}");
    machine
        .put("/srv/examples/quickstart/shout/shout.wasm", include_bytes!("../../examples/quickstart/shout/shout.wasm"));
    for line in lines {
        let line = line.replace("./target/debian/wapcd_*.deb", "/packages/wapcd.deb").replace("sudo ", "");
        // A dropped file is a module soon.
        machine.until(&format!("export USER=root DEBIAN_FRONTEND=noninteractive && cd /srv && {line}"));
    }
    assert_eq!(machine.call("shout", "shout", "hi"), "HI");
    assert_eq!(machine.call("greeter", "shout", "hi"), "HI");
}

/// What a unit says, without comments.
fn directives(unit: &str) -> Vec<&str> {
    unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The template says what the service says, but for names.
fn assert_template_agrees() {
    let service = include_str!("../../systemd/wapcd.service");
    let own = service
        .replace("guests\nDoc", "guests (%i)\nDoc")
        .replace("/etc/wapcd/wapcd", "/etc/wapcd/%i/wapcd")
        .replace("/run/wapcd/", "/run/wapcd-%i/")
        .replace("Directory=wapcd", "Directory=wapcd-%i")
        .replace("ConfigurationDirectory=wapcd-%i", "ConfigurationDirectory=wapcd/%i");
    assert_eq!(directives(include_str!("../../systemd/wapcd@.service")), directives(&own));
}

pub(crate) fn lint(machine: &Machine) {
    assert_template_agrees();
    let said = machine.run("systemd-analyze verify --man=no wapcd.service wapcd.socket wapcd@one.service");
    assert_eq!((said.code, said.stdout + &said.stderr), (Some(0), String::new()));
    let bounded = |unit: &str, most: u32| {
        machine.ok(&format!("systemd-analyze security --offline=yes --threshold={most} {unit}"));
        // What is loaded, with its drop-ins.
        machine.ok(&format!("systemd-analyze security --threshold={most} {unit}"));
    };
    bounded("wapcd.service", EXPOSURE);
    bounded("wapcd@one.service", EXPOSURE);
    machine.ok(
        "install -D -m 644 -t /etc/systemd/system/wapcd.service.d /usr/share/doc/wapcd/examples/activated-only.conf",
    );
    machine.ok("systemctl daemon-reload");
    machine.ok(&format!("systemd-analyze security --threshold={EXPOSURE_ACTIVATED} wapcd.service"));
    let said = machine.run("systemd-analyze verify --man=no wapcd.service");
    assert_eq!((said.code, said.stdout + &said.stderr), (Some(0), String::new()));
}

pub(crate) fn upgrade(machine: &Machine) {
    const UPGRADE: &str = "DEBIAN_FRONTEND=noninteractive apt-get install --yes -o Dpkg::Options::=--force-confold \
                           /packages/newer.deb";
    const DOWNGRADE: &str = "DEBIAN_FRONTEND=noninteractive dpkg --install --force-confnew /packages/wapcd.deb";
    let is_enabled = |unit: &str| machine.run(&format!("systemctl is-enabled {unit}")).stdout;

    // Nothing was edited: what is new comes, and the service is another process.
    let before = machine.main_pid();
    machine.ok(UPGRADE);
    assert_ne!(machine.main_pid(), before);
    assert_eq!(machine.ok("systemctl is-active wapcd"), "active");
    assert_eq!(machine.ok("tail -n 1 /etc/wapcd/wapcd.toml"), NEWS);
    assert_eq!([is_enabled("wapcd.service"), is_enabled("wapcd.socket")], ["enabled", "disabled"]);
    machine.ok(DOWNGRADE);

    // Something was edited.
    machine.ok("echo '# The words of the administrator.' >> /etc/wapcd/wapcd.toml");
    machine.ok("echo '# Nobody else has this file.' > /etc/wapcd/conf.d/own.toml");
    machine.ok("systemctl disable wapcd.service && systemctl stop wapcd.service && systemctl enable wapcd.socket");
    machine.ok(UPGRADE);
    assert_eq!(machine.ok("tail -n 1 /etc/wapcd/wapcd.toml"), "# The words of the administrator.");
    assert_eq!(machine.ok("tail -n 1 /etc/wapcd/wapcd.toml.dpkg-dist"), NEWS);
    machine.ok("test -e /etc/wapcd/conf.d/own.toml");
    assert_eq!([is_enabled("wapcd.service"), is_enabled("wapcd.socket")], ["disabled", "enabled"]);
    assert_eq!(machine.fails("systemctl is-active wapcd"), "inactive", "what is disabled and stopped was started");
}

pub(crate) fn remove_and_purge(machine: &Machine) {
    machine.ok("mkdir -p /etc/wapcd/one && touch /etc/wapcd/one/wapcd.toml");
    machine.ok("useradd --groups wapcd ada");
    machine.ok("systemctl stop wapcd && systemctl start wapcd.socket wapcd.service wapcd@one");
    machine.ok("test -d /var/lib/wapcd-one");

    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get remove --yes wapcd");
    for unit in ["wapcd.service", "wapcd.socket", "wapcd@one.service"] {
        assert_eq!(machine.fails(&format!("systemctl is-active {unit}")), "inactive");
    }
    machine.fails("pgrep -u wapcd");
    machine.ok("test -e /etc/wapcd/wapcd.toml && test -d /var/lib/wapcd/modules && test -d /var/lib/wapcd-one");

    machine.ok("DEBIAN_FRONTEND=noninteractive apt-get purge --yes wapcd");
    // The lists of apt name what was once there.
    let left = machine.ok("find / -xdev -name '*wapc*' -not -path '/proc/*' -not -path '/var/log/*'");
    assert_eq!(left, "");
    assert_eq!(machine.run("getent passwd wapcd; getent group wapcd").stdout, "");
    assert_eq!(machine.ok("systemctl list-units --all --no-legend '*wapc*'"), "");
    machine.ok("id ada");
}

/// What is called as if a daemon of the template had made it, and was not made by one; and what is mounted.
pub(crate) fn purge_spares_what_others_made(machine: &Machine) {
    machine.ok("mkdir -p /etc/wapcd/shop && touch /etc/wapcd/shop/wapcd.toml && systemctl start wapcd@shop");
    machine.ok("touch /var/lib/wapcd-shop/mine && systemctl stop wapcd@shop");
    // A copy before the purge, whoever owns it.
    machine.ok("cp -a /var/lib/wapcd-shop /var/lib/wapcd-shop.old");
    // A directory of somebody else's, beside a configuration.
    machine.ok("mkdir -p /etc/wapcd/notes /var/lib/wapcd-notes && touch /var/lib/wapcd-notes/mine");
    // A link, beside a configuration.
    machine.ok("mkdir -p /etc/wapcd/far && install -d -o wapcd /srv/far && touch /srv/far/mine");
    machine.ok("ln -s /srv/far /var/lib/wapcd-far && chown -h wapcd /var/lib/wapcd-far");
    // Another file system.
    machine.ok(
        "mkdir /var/lib/wapcd/inbox && mount -t tmpfs inbox /var/lib/wapcd/inbox && touch /var/lib/wapcd/inbox/mine",
    );

    let said = machine.run("DEBIAN_FRONTEND=noninteractive apt-get purge --yes wapcd 2>&1");
    assert_eq!(said.code, Some(0), "{said:?}");
    let told = |what: &str| said.stdout.lines().any(|line| line.trim_end() == format!("wapcd: {what}"));
    let spared =
        ["/srv/far", "/var/lib/wapcd/inbox", "/var/lib/wapcd-far", "/var/lib/wapcd-notes", "/var/lib/wapcd-shop.old"];
    for path in spared {
        machine.ok(&format!("test -e {path}/mine"));
    }
    for path in ["/var/lib/wapcd", "/var/lib/wapcd-far", "/var/lib/wapcd-notes", "/var/lib/wapcd-shop.old"] {
        assert!(told(&format!("{path} stays")), "{path}: {}", said.stdout);
    }
    machine.ok("test ! -e /var/lib/wapcd/modules && test ! -e /var/lib/wapcd-shop && test ! -e /var/cache/wapcd-shop");
    machine.ok("test ! -e /etc/wapcd");
    // No other user gets their number, and with it what is left.
    assert!(told("user wapcd stays") && told("group wapcd stays"), "{}", said.stdout);
    assert_eq!(machine.ok("stat --format %U:%G /var/lib/wapcd-shop.old"), "wapcd:wapcd");
}
