//! Gives a test a process of its own, where it must not share time, memory or mappings with others.

use std::{env, process::Command};

/// Set in the process of its own, to the name of the test.
const ALONE: &str = "WAPCD_TEST_ALONE";

/// Runs `body` in a new process that runs only the test `name`, as `module::test`.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    // These tests may be a part of another program.
    let above = module_path!().split("::").skip(1).take_while(|module| *module != "alone");
    let name = above.chain([name]).collect::<Vec<_>>().join("::");
    if env::var(ALONE).is_ok_and(|alone| alone == name) {
        body();
        return;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([&name, "--exact", "--nocapture"])
        .env(ALONE, &name)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} in its own process: {}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "the process ran no test named {name}:\n{stdout}");
}
