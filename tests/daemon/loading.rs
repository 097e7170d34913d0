//! Modules that cannot be loaded: each says why and leaves the others alone; the check finds all of them at once.

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, Home, menu, module};

/// A guest that exports what waPC demands, with something more.
fn guest(more: &str) -> Vec<u8> {
    let wat = format!(
        "(module {more} (memory (export \"memory\") 1)
           (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))"
    );
    wat::parse_str(wat).unwrap()
}

/// Every bad module: its name, its file (none for one that is missing), further keys, and what its cause must name.
fn bad_modules() -> Vec<(&'static str, Option<Vec<u8>>, &'static str, &'static [&'static str])> {
    let no_exports = wat::parse_str("(module (memory (export \"memory\") 1))").unwrap();
    let no_memory =
        wat::parse_str("(module (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))").unwrap();
    let unknown = guest("(import \"env\" \"launch\" (func (param i32))) (import \"wapc\" \"__nothing\" (func))");
    let traps = guest("(func $start unreachable) (start $start)");
    let large = guest(&format!("(data \"{}\")", "x".repeat(100_000)));
    vec![
        ("empty", Some(Vec::new()), "", &["empty"]),
        ("truncated", Some(menu()[..menu().len() / 2].to_vec()), "", &["truncated.wasm", "truncated after"]),
        ("text", Some(b"(module)".to_vec()), "", &["text.wasm", "not a WebAssembly module"]),
        ("component", Some(b"\0asm\x0d\0\x01\0".to_vec()), "", &["component"]),
        ("elf", Some(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec()), "", &["elf.wasm", "ELF"]),
        ("exportless", Some(no_exports), "", &["__guest_call"]),
        ("memoryless", Some(no_memory), "", &["memory"]),
        ("importing", Some(unknown), "", &["env.launch", "wapc.__nothing"]),
        (
            "large",
            Some(large),
            "limits = { module_size = \"64 KiB\" }",
            &["large.wasm", "module_size limit of 65536 bytes"],
        ),
        ("missing", None, "", &["missing.wasm", "No such file"]),
        ("trapping", Some(traps), "", &["start"]),
    ]
}

/// A home with all bad modules, one that is a directory, and a good one.
fn home() -> Home {
    let home = Home::new("");
    let mut toml = String::new();
    for (name, bytes, keys, _) in bad_modules() {
        toml.push_str(&format!("[modules.{name}]\npath = \"{name}.wasm\"\n{keys}\n"));
        bytes.into_iter().for_each(|bytes| home.write(&format!("{name}.wasm"), bytes));
    }
    std::fs::create_dir(home.path().join("directory.wasm")).unwrap();
    toml.push_str("[modules.directory]\npath = \"directory.wasm\"\n");
    home.configure(&(toml + &module("good", "")));
    home
}

#[test]
fn a_module_that_does_not_load_shows_its_cause_and_leaves_the_others_running() {
    let daemon = home().start();
    assert_eq!(daemon.call("good", "echo", b"fine").text(), "fine");
    let expected = bad_modules().into_iter().map(|(name, _, _, what)| (name, what));
    for (name, what) in expected.chain([("directory", ["directory.wasm", "not a regular file"].as_slice())]) {
        let status = daemon.module(name);
        assert_eq!((status.state, status.instances.len()), (ModuleState::Failed, 0), "{name}");
        let exit = status.last_exit.unwrap();
        let reason = if name == "trapping" { "start_failed" } else { "load_failed" };
        assert_eq!(exit.reason, reason, "{name}");
        let causes = exit.causes.join(": ");
        assert!(what.iter().all(|what| causes.contains(what)), "{name}: {causes}");
        let refused = daemon.call(name, "echo", b"");
        assert_eq!((refused.status, refused.kind().as_str()), (409, "failed"), "{name}");
        assert!(what.iter().all(|what| refused.detail().contains(what)), "{name}: {}", refused.detail());
        let page = daemon.ctl(&["module", name]);
        assert!(what.iter().all(|what| page.contains(what)), "{page}");
    }
    // A start function that fails is tried as often as the intensity says, a file that does not load only once.
    assert_eq!((daemon.module("trapping").restarts, daemon.module("text").restarts), (5, 0));
}

#[test]
fn the_check_reports_every_bad_module_at_once() {
    let output = home().wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let complaints = String::from_utf8(output.stderr).unwrap();
    for (name, _, _, what) in bad_modules() {
        // Only a start runs start functions.
        if name == "trapping" {
            continue;
        }
        let complaint = complaints.lines().find(|line| line.contains(&format!("modules.{name}:")));
        let complaint = complaint.unwrap_or_else(|| panic!("nothing of {name} in {complaints}"));
        assert!(what.iter().all(|what| complaint.contains(what)), "{name}: {complaint}");
    }
    assert!(complaints.contains("modules.directory:"), "{complaints}");
    assert!(!complaints.contains("modules.good"), "{complaints}");
}

#[test]
fn the_check_of_a_good_configuration_starts_nothing() {
    let home = Home::new(&format!("[bindings.cache]\ntype = \"keyvalue\"\n{}", module("menu", "links = [\"cache\"]")));
    let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(": good, 1 modules, 3 bindings\n"));
    assert!(!home.path().join("state").exists() && !home.path().join("run").exists());
}

#[test]
fn a_wrong_configuration_stops_check_and_run_with_every_mistake() {
    let home =
        Home::new("[modules.one]\npath = 5\n[modules.two]\npath = \"menu.wasm\"\nlinks = [\"nobody\"]\nqueues = 3\n");
    for command in ["check", "run"] {
        let output = home.wapcd(&[command, "--config", "wapcd.toml"]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let complaints = String::from_utf8(output.stderr).unwrap();
        for what in ["modules.one.path", "modules.two.links", "nobody", "modules.two.queues"] {
            assert!(complaints.contains(what), "{command}: {what} is not in {complaints}");
        }
    }
    assert!(!home.path().join("run").exists());
}

#[test]
fn more_instances_than_the_machine_can_map_are_refused_before_anything_starts() {
    let home = Home::new(&module("menu", "instances = 100000"));
    for command in ["check", "run"] {
        let output = home.wapcd(&[command, "--config", "wapcd.toml"]);
        assert_eq!(output.status.code(), Some(78), "{command}");
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(complaint.contains("100001 instances") && complaint.contains("vm.max_map_count"), "{complaint}");
    }
}

#[test]
fn a_module_that_grows_beyond_its_limit_at_the_start_is_refused() {
    let daemon = Daemon::start(&module("menu", "limits = { memory = \"1 MiB\" }"));
    let status = daemon.module("menu");
    assert_eq!(status.state, ModuleState::Failed);
    let causes = status.last_exit.unwrap().causes.join(": ");
    assert!(causes.contains("memory") && causes.contains("1048576"), "{causes}");
}
