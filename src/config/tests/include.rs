//! Configurations of several files: which files are found, what they may have, and which file a problem names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{
    super::{Config, ConfigErrors, load},
    user,
};

/// A directory with these files; the first is the main file.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Result<Config, ConfigErrors> {
        load(&self.path("wapcd.toml"), &user())
    }

    fn good(&self) -> Config {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The problems, without the directory of the files.
    fn bad(&self) -> String {
        let report = self.load().unwrap_err().to_string();
        report.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

const MAIN: &str = "include = [\"conf.d/*.toml\"]\n";

fn names(config: &Config) -> Vec<&str> {
    config.modules.iter().map(|module| &*module.name).collect()
}

#[test]
fn files_of_a_pattern_come_in_the_order_of_their_names_after_the_main_file() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"conf.d/*.toml\", \"extra/last.toml\"]\n[modules.main]\npath = \"m.wasm\"\n"),
        ("conf.d/20-b.toml", "[modules.b]\npath = \"b.wasm\"\nlinks = [\"kv\"]\n"),
        ("conf.d/10-a.toml", "[modules.a]\npath = \"../a.wasm\"\n[bindings.kv]\ntype = \"keyvalue\"\n"),
        ("conf.d/.hidden.toml", "not TOML"),
        ("conf.d/notes.txt", "not TOML"),
        ("conf.d/20-b.toml~", "not TOML"),
        ("extra/last.toml", "[groups.all]\nmembers = [\"kv\", \"main\", \"a\"]\n"),
    ]);
    let config = files.good();
    assert_eq!(names(&config), ["main", "a", "b"]);
    assert_eq!(
        config.files,
        ["wapcd.toml", "conf.d/10-a.toml", "conf.d/20-b.toml", "extra/last.toml"].map(|f| files.path(f))
    );
    assert_eq!(config.includes, ["conf.d/*.toml", "extra/last.toml"].map(|pattern| files.path(pattern)));
    // What a module reads is meant against the file that names it, what a binding writes against the state directory.
    assert_eq!(config.modules[1].path, files.path("conf.d/../a.wasm"));
    assert_eq!(config.modules[2].path, files.path("conf.d/b.wasm"));
    assert!(format!("{:?}", config.bindings[0]).contains("/home/ada/state/wapcd/kv.redb"));
    assert_eq!(config.groups[0].members.len(), 3);
}

#[test]
fn defaults_of_the_main_file_hold_in_all_files() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"a.toml\"]\n[defaults.limits]\nmemory = \"1 MiB\"\n"),
        ("a.toml", "[modules.a]\npath = \"a\"\n"),
    ]);
    assert_eq!(files.good().modules[0].limits.memory, 1 << 20);
}

#[test]
fn a_pattern_without_a_match_or_a_directory_is_fine() {
    let files = Files::new(&[("wapcd.toml", "include = [\"*.conf\", \"none/*.toml\", \"[ab]?.toml\"]\n")]);
    let config = files.good();
    assert_eq!(config.files, [files.path("wapcd.toml")]);
    assert_eq!(config.includes.len(), 3);
}

#[test]
fn each_file_is_read_once_and_the_main_file_is_not_included() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"*.toml\", \"./a.toml\", \"sub/../[a]*\"]\n[modules.main]\npath = \"m\"\n"),
        ("a.toml", "[modules.a]\npath = \"a\"\n"),
        ("sub/x", ""),
    ]);
    std::os::unix::fs::symlink(files.path("a.toml"), files.path("z.toml")).unwrap();
    let config = files.good();
    assert_eq!(names(&config), ["main", "a"]);
    assert_eq!(config.files.len(), 2);
}

#[test]
fn a_name_in_two_files_is_reported_with_both_files_and_lines() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"conf.d/*.toml\"]\n[modules.a]\npath = \"a\"\n"),
        ("conf.d/1.toml", "# A comment.\n[bindings.a]\ntype = \"log\"\n[modules.a]\npath = \"b\"\n"),
        ("conf.d/2.toml", "[bindings.a]\ntype = \"log\"\n"),
    ]);
    assert_eq!(
        files.bad(),
        "conf.d/1.toml:4:10: modules.a: found a second module `a`; the first is on line 2 of wapcd.toml, \
         expected every name once in all files together\n\
         conf.d/2.toml:1:11: bindings.a: found a second binding `a`; the first is on line 2 of conf.d/1.toml, \
         expected every name once in all files together"
    );
}

#[test]
fn every_problem_names_its_own_file_and_the_main_file_comes_first() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"conf.d/*.toml\"]\n[daemon]\nworkers = 0\n"),
        ("conf.d/1.toml", "[modules.a]\npath = \"a\"\nlinks = [\"nowhere\"]\n"),
        ("conf.d/2.toml", "[modules.b]\npath = \"b\"\nlazy = 1\nqueue = 0\n"),
    ]);
    let report = files.bad();
    let places: Vec<&str> = report.lines().filter_map(|line| line.split(" found").next()).collect();
    assert_eq!(
        places,
        [
            "wapcd.toml:3:11: daemon.workers:",
            "conf.d/1.toml:3:10: modules.a.links[0]:",
            "conf.d/2.toml:3:8: modules.b.lazy:",
            "conf.d/2.toml:4:9: modules.b.queue:"
        ],
        "{report}"
    );
}

#[test]
fn places_in_other_files_are_named_with_them() {
    let files = Files::new(&[
        ("wapcd.toml", "include = [\"a.toml\"]\n[groups.x]\nmembers = [\"m\"]\n[modules.m]\npath = \"m\"\n"),
        ("a.toml", "[groups.y]\nmembers = [\"m\"]\n"),
    ]);
    assert!(files.bad().contains("member of the group `x` already, on line 3 of wapcd.toml"), "{}", files.bad());
}

#[test]
fn sections_of_the_daemon_are_refused_in_an_included_file_and_sent_to_the_main_one() {
    for key in ["daemon", "control", "logging", "metrics", "watch", "drop_in", "defaults"] {
        let files = Files::new(&[("wapcd.toml", MAIN), ("conf.d/a.toml", &format!("[{key}]\n"))]);
        let expected = format!(
            "conf.d/a.toml:1:2: {key}: found [{key}] in an included file, expected only modules, bindings, groups and triggers here\n  \
             it belongs into wapcd.toml"
        );
        assert_eq!(files.bad(), expected);
    }
    let files = Files::new(&[("wapcd.toml", MAIN), ("conf.d/a.toml", "include = [\"b.toml\"]\n")]);
    assert!(
        files.bad().starts_with("conf.d/a.toml:1:1: include: found `include` in an included file"),
        "{}",
        files.bad()
    );
    let files = Files::new(&[("wapcd.toml", MAIN), ("conf.d/a.toml", "[module.a]\npath = \"a\"\n")]);
    assert!(
        files.bad().contains("one of `bindings`, `modules`, `groups`, `triggers`\n  did you mean `modules`?"),
        "{}",
        files.bad()
    );
}

#[test]
fn entries_that_cannot_be_are_refused() {
    for (entry, place, words) in [
        ("\"conf.d/*.toml\"", "1:11", "found \"conf.d/*.toml\", expected a list of files"),
        ("[5]", "1:12", "found the number 5, expected a file or a pattern"),
        ("[\"\"]", "1:12", "an empty path"),
        ("[\"conf.d/\"]", "1:12", "write \"DIR/*.toml\""),
        ("[\"..\"]", "1:12", "write \"DIR/*.toml\""),
        ("[\"*/a.toml\"]", "1:12", "only the last part of a path can be a pattern"),
        ("[\"**\"]", "1:12", "write a single *"),
        ("[\"x[\"]", "1:12", "invalid range pattern"),
        ("[\"a\\u0000\"]", "1:12", "NUL"),
        ("[\"missing.toml\"]", "1:12", "`missing.toml`, which does not exist or cannot be reached"),
        ("[\"./wapcd.toml\"]", "1:12", "a file cannot include itself"),
        ("[\"wapcd.toml/*\"]", "1:12", "the directory `wapcd.toml`, which cannot be read"),
    ] {
        let report = Files::new(&[("wapcd.toml", &format!("include = {entry}\n"))]).bad();
        assert!(
            report.starts_with(&format!("wapcd.toml:{place}: include")) && report.contains(words),
            "{entry}: {report}"
        );
        assert_eq!(report.matches("found ").count(), 1, "{report}");
    }
    let many = format!("include = [{}]\n", "\"a*\", ".repeat(101));
    let report = Files::new(&[("wapcd.toml", &many)]).bad();
    assert!(report.contains("a list of 101 files and patterns, expected at most 100"), "{report}");
}

#[test]
fn a_file_that_cannot_be_read_is_reported_and_not_what_is_missing_without_it() {
    let main = "include = [\"conf.d/*\"]\n[modules.m]\npath = \"m\"\nlinks = [\"kv\"]\nqueue = 0\n";
    let files = Files::new(&[("wapcd.toml", main), ("conf.d/a.toml", "[bindings.kv\n"), ("conf.d/b/x", "")]);
    let report = files.bad();
    assert!(report.starts_with("wapcd.toml:5:9: modules.m.queue"), "{report}");
    assert!(report.contains("conf.d/a.toml:1:13: found text that is not TOML"), "{report}");
    assert!(report.contains("conf.d/b: found a directory, expected a TOML file"), "{report}");
    assert!(!report.contains("kv\","), "{report}");
    fs::write(files.path("conf.d/a.toml"), b"\n\xff").unwrap();
    assert!(files.bad().contains("conf.d/a.toml:2:1: found the byte 0xff"), "{}", files.bad());
}

#[test]
fn a_relative_main_file_names_its_includes_relatively_and_gives_absolute_paths() {
    let files = Files::new(&[("wapcd.toml", MAIN), ("conf.d/a.toml", "[modules.a]\nqueue = 0\n")]);
    let env = super::Environment { current_dir: files.dir.path().to_owned(), ..user() };
    let report = load(Path::new("wapcd.toml"), &env).unwrap_err().to_string();
    assert!(report.contains("conf.d/a.toml:2:9: modules.a.queue") && !report.contains("/conf.d"), "{report}");
    fs::write(files.path("conf.d/a.toml"), "[modules.a]\npath = \"a\"\n").unwrap();
    let config = load(Path::new("wapcd.toml"), &env).unwrap();
    assert_eq!(config.files, [files.path("wapcd.toml"), files.path("conf.d/a.toml")]);
    assert_eq!(config.includes, [files.path("conf.d/*.toml")]);
    assert_eq!(config.modules[0].path, files.path("conf.d/a"));
}

#[test]
fn more_files_than_are_allowed_are_refused() {
    let files = Files::new(&[("wapcd.toml", MAIN)]);
    fs::create_dir(files.path("conf.d")).unwrap();
    for number in 0..10_001 {
        fs::write(files.path(&format!("conf.d/{number}.toml")), "").unwrap();
    }
    assert!(files.bad().contains("wapcd.toml:1:12: include[0]: found more files than"), "{}", files.bad());
    fs::remove_file(files.path("conf.d/0.toml")).unwrap();
    assert_eq!(files.good().files.len(), 10_001);
}

#[test]
fn more_text_than_is_allowed_is_refused() {
    let files = Files::new(&[("wapcd.toml", MAIN)]);
    fs::create_dir(files.path("conf.d")).unwrap();
    let text = " ".repeat(16 << 20);
    for number in 0..5 {
        fs::write(files.path(&format!("conf.d/{number}.toml")), &text).unwrap();
    }
    assert!(files.bad().contains("files of at most 64 MiB together"), "{}", files.bad());
}
