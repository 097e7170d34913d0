//! Modules that cannot be loaded: each says why and leaves the others alone; the check finds all of them at once.

use wapcd::supervisor::status::ModuleState;

use crate::harness::{Daemon, Home, eventually, menu, module};

/// A guest that exports what waPC demands, with something more.
fn guest(more: &str) -> Vec<u8> {
    let wat = format!(
        "(module {more} (memory (export \"memory\") 1)
           (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))"
    );
    wat::parse_str(wat).unwrap()
}

/// A module that cannot be loaded.
struct Bad {
    name: &'static str,
    /// Its file; none for one that is missing.
    bytes: Option<Vec<u8>>,
    /// Keys beside its path.
    keys: &'static str,
    /// What its cause must name.
    causes: &'static [&'static str],
}

impl Bad {
    fn new(name: &'static str, bytes: impl AsRef<[u8]>, causes: &'static [&'static str]) -> Self {
        Self { name, bytes: Some(bytes.as_ref().to_vec()), keys: "", causes }
    }

    /// Whether all that the cause must name is in the text.
    fn is_told_in(&self, text: &str) -> bool {
        self.causes.iter().all(|cause| text.contains(cause))
    }
}

fn bad_modules() -> Vec<Bad> {
    let wat = |wat: &str| wat::parse_str(wat).unwrap();
    let no_exports = wat("(module (memory (export \"memory\") 1))");
    let no_memory = wat("(module (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))");
    let unknown = guest("(import \"env\" \"launch\" (func (param i32))) (import \"wapc\" \"__nothing\" (func))");
    let large = guest(&format!("(data \"{}\")", "x".repeat(100_000)));
    let over = &["large.wasm", "module_size limit of 65536 bytes"];
    vec![
        Bad::new("empty", b"", &["empty"]),
        Bad::new("truncated", &menu()[..menu().len() / 2], &["truncated.wasm", "truncated after"]),
        Bad::new("text", b"(module)", &["text.wasm", "not a WebAssembly module"]),
        Bad::new("component", b"\0asm\x0d\0\x01\0", &["component"]),
        Bad::new("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", &["elf.wasm", "ELF"]),
        Bad::new("exportless", no_exports, &["__guest_call"]),
        Bad::new("memoryless", no_memory, &["memory"]),
        Bad::new("importing", unknown, &["env.launch", "wapc.__nothing"]),
        Bad { keys: "limits = { module_size = \"64 KiB\" }", ..Bad::new("large", large, over) },
        Bad { bytes: None, ..Bad::new("missing", b"", &["missing.wasm", "No such file"]) },
        Bad::new("trapping", guest("(func $start unreachable) (start $start)"), &["start"]),
        // A directory is made at this one's path.
        Bad { bytes: None, ..Bad::new("directory", b"", &["directory.wasm", "not a regular file"]) },
    ]
}

/// A home with all bad modules and a good one.
fn home() -> Home {
    let home = Home::new("");
    let mut toml = String::new();
    for Bad { name, bytes, keys, .. } in bad_modules() {
        toml.push_str(&format!("[modules.{name}]\npath = \"{name}.wasm\"\n{keys}\n"));
        bytes.into_iter().for_each(|bytes| home.write(&format!("{name}.wasm"), bytes));
    }
    std::fs::create_dir(home.path().join("directory.wasm")).unwrap();
    home.configure(&(toml + &module("good", "")));
    home
}

#[test]
fn a_module_that_does_not_load_shows_its_cause_and_leaves_the_others_running() {
    let daemon = home().start();
    assert_eq!(daemon.call("good", "echo", b"fine").text(), "fine");
    for bad in bad_modules() {
        let name = bad.name;
        // A start function is tried again, with growing waits.
        eventually("the module fails", || daemon.module(name).state == ModuleState::Failed);
        let status = daemon.module(name);
        assert_eq!((status.state, status.instances.len()), (ModuleState::Failed, 0), "{name}");
        let exit = status.last_exit.unwrap();
        let reason = if name == "trapping" { "start_failed" } else { "load_failed" };
        assert_eq!(exit.reason, reason, "{name}");
        assert!(bad.is_told_in(&exit.causes.join(": ")), "{name}: {:?}", exit.causes);
        let refused = daemon.call(name, "echo", b"");
        assert_eq!((refused.status, refused.kind().as_str()), (409, "failed"), "{name}");
        assert!(bad.is_told_in(&refused.detail()), "{name}: {}", refused.detail());
        let page = daemon.ctl(&["module", name]);
        assert!(bad.is_told_in(&page), "{page}");
    }
    // A start function that fails is tried as often as the intensity says, a file that does not load only once.
    assert_eq!((daemon.module("trapping").restarts, daemon.module("text").restarts), (5, 0));
}

#[test]
fn the_check_reports_every_bad_module_at_once() {
    let output = home().wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let complaints = String::from_utf8(output.stderr).unwrap();
    // Only a start runs start functions.
    for bad in bad_modules().into_iter().filter(|bad| bad.name != "trapping") {
        let complaint = complaints.lines().find(|line| line.contains(&format!("modules.{}:", bad.name)));
        let complaint = complaint.unwrap_or_else(|| panic!("nothing of {} in {complaints}", bad.name));
        assert!(bad.is_told_in(complaint), "{}: {complaint}", bad.name);
    }
    assert!(!complaints.contains("modules.good"), "{complaints}");
}

#[test]
fn the_check_of_a_good_configuration_starts_nothing() {
    let home = Home::new(&format!("[bindings.cache]\ntype = \"keyvalue\"\n{}", module("menu", "links = [\"cache\"]")));
    let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(": good, 1 modules, 3 bindings, 0 triggers\n"));
    assert!(!home.path().join("state").exists() && !home.path().join("run").exists());
}

#[test]
fn the_check_reads_certificates_and_credentials_of_triggers() {
    let web = "[triggers.web]\ntype = \"http\"\n\
               listen = { address = \"127.0.0.1:0\", tls = { cert = \"web.pem\", key = { file = \"web.key\" } } }\n\
               routes = [{ path = \"/\", module = \"menu\", operation = \"echo\", \
               authentication = { token = { file = \"tokens\" } } }]\n";
    let home = Home::new(&format!("{}{web}", module("menu", "")));
    home.write("web.pem", "no certificate");
    home.write("tokens", "\n");
    let output = home.wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let complaints = String::from_utf8(output.stderr).unwrap();
    for file in ["web.key", "tokens"] {
        let told = complaints.lines().any(|line| line.contains("triggers.web: cannot use `") && line.contains(file));
        assert!(told, "nothing of {file} in {complaints}");
    }
}

#[test]
fn the_check_can_be_made_beside_a_running_daemon() {
    let daemon = Daemon::start(&format!("[bindings.cache]\ntype = \"keyvalue\"\n{}", module("menu", "")));
    let output = daemon.home().wapcd(&["check", "--config", "wapcd.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(daemon.call("menu", "echo", b"undisturbed").text(), "undisturbed");
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
    eventually("the module fails", || daemon.module("menu").state == ModuleState::Failed);
    let status = daemon.module("menu");
    let causes = status.last_exit.unwrap().causes.join(": ");
    assert!(causes.contains("memory") && causes.contains("1048576"), "{causes}");
}
