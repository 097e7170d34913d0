//! The dependency direction that ARCHITECTURE.md draws, read from the source.

use std::path::Path;

use crate::repository::{files, text};

/// Every part of the library with the parts it may name, from those that know nothing up to the commands.
const PARTS: [(&str, &[&str]); 15] = [
    ("host", &[]),
    ("config", &[]),
    ("signals", &[]),
    ("command", &[]),
    ("logging", &["config"]),
    ("files", &["config"]),
    ("bindings", &["host", "config", "files"]),
    ("actors", &["host", "config", "bindings"]),
    ("web", &["host", "actors"]),
    ("triggers", &["host", "config", "files", "bindings", "actors", "web"]),
    ("supervisor", &["host", "config", "files", "bindings", "actors", "triggers"]),
    ("control", &["host", "config", "files", "bindings", "actors", "web", "triggers", "supervisor"]),
    ("single_call", &["host", "config", "supervisor"]),
    ("service", &["host", "actors", "triggers", "supervisor", "control"]),
    ("daemon", &["host", "config", "bindings", "actors", "triggers", "supervisor", "control"]),
];

/// The code of a file: without comments, and without the tests at its foot, which may name anything.
fn code(path: &Path) -> String {
    let text = text(path);
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// Whether the file has nothing but tests.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| ["tests", "tests.rs", "testing.rs"].iter().any(|name| part == *name))
}

/// The part of the library that a file belongs to; `None` for the map and the commands.
fn part(path: &Path) -> Option<String> {
    let part = Path::new(path.iter().nth(1).unwrap()).file_stem().unwrap().to_str().unwrap();
    (!["lib", "main", "bin"].contains(&part)).then(|| part.to_owned())
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The names directly after each `crate::`, one or a list in braces.
fn named(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        let (mut depth, mut start) = (1, true);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' => start |= depth == 1,
                c if start && c.is_alphabetic() => {
                    found.push(word(&list[at..]));
                    start = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Files outside of tests whose code contains one of the words as a word of its own, followed by `after`.
fn naming(words: &[&str], after: &str) -> Vec<String> {
    let names = |code: &str| {
        words.iter().any(|name| {
            let whole = |at: usize| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            code.match_indices(&format!("{name}{after}")).any(|(at, _)| whole(at))
        })
    };
    let found = files("src", ".rs").into_iter().filter(|path| !is_test(path) && names(&code(path)));
    found.map(|path| path.to_str().unwrap().to_owned()).collect()
}

#[test]
fn names_are_found_alone_and_in_lists() {
    let code = "use crate::host::{Limits, chain};\nuse crate::{\n    actors::{Call, Gate},\n    config,\n};\n";
    assert_eq!(named(code), ["host", "actors", "config"]);
}

#[test]
fn every_part_names_only_the_parts_below_it() {
    let files = files("src", ".rs");
    assert!(files.len() > PARTS.len());
    for path in files.iter().filter(|path| !is_test(path)) {
        let Some(part) = part(path) else { continue };
        let (_, below) = PARTS.iter().find(|(name, _)| *name == part).unwrap_or_else(|| panic!("no rule for {part}"));
        for name in named(&code(path)) {
            let allowed = name == part || below.contains(&name);
            assert!(allowed, "{} names `{name}`, which is not below `{part}`", path.display());
        }
    }
}

#[test]
fn only_the_wasmtime_engine_names_wasmtime() {
    let elsewhere = naming(&["wasmtime", "wasmtime_wasi"], "::");
    let elsewhere: Vec<_> = elsewhere.iter().filter(|path| !path.starts_with("src/host/wasmtime/")).collect();
    // The library's table of contents names the folder of this name.
    assert_eq!(elsewhere, ["src/host/mod.rs"]);
}

#[test]
fn only_one_file_names_signal_hook() {
    assert_eq!(naming(&["signal_hook"], "::"), ["src/signals.rs"]);
}

#[test]
fn only_one_file_names_notify() {
    assert_eq!(naming(&["notify"], "::"), ["src/files/watch/notices.rs"]);
}

#[test]
fn only_what_the_commands_share_writes_to_standard_output() {
    assert_eq!(naming(&["print", "println", "eprint", "eprintln", "dbg"], "!"), [""; 0]);
    assert_eq!(naming(&["stdout"], "()"), ["src/command.rs"]);
    assert_eq!(naming(&["stderr"], "()"), ["src/command.rs", "src/logging.rs"]);
}

#[test]
fn decisions_read_no_clock_and_know_no_actor() {
    let decisions = [
        "src/supervisor/decide.rs",
        "src/files/watch/settle.rs",
        "src/config/plan/diff.rs",
        "src/bindings/keyvalue/operations.rs",
        "src/bindings/log/operations.rs",
    ];
    for path in decisions {
        let code = code(Path::new(path));
        for word in ["now()", "actix", "tokio", "async "] {
            assert!(!code.contains(word), "{path} contains `{word}`");
        }
    }
}
