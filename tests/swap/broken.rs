//! Files that are no guest, in every way that is known: each with a part of the reason that must be given for it.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    guest::{self, Build, Start},
    wasm,
};

/// Bytes that a module file may have in the tests of broken ones.
pub(crate) const MODULE_SIZE: usize = 4 << 20;
/// Bytes of memory that a guest may have there.
pub(crate) const MEMORY: u64 = 4 << 20;
/// Milliseconds that a call and a start may take where one that never ends is tried.
pub(crate) const CALL_TIMEOUT_MS: u64 = 400;
/// The same where calls must be answered all the time, also while compilers have all cores.
pub(crate) const PATIENT_MS: u64 = 60_000;

/// The keys of a module with these limits.
pub(crate) fn limits(call_timeout_ms: u64) -> String {
    format!(
        "limits = {{ module_size = \"{} MiB\", memory = \"{} MiB\", call_timeout = \"{call_timeout_ms}ms\" }}",
        MODULE_SIZE >> 20,
        MEMORY >> 20
    )
}

/// A file that must not take over.
#[derive(Debug)]
pub(crate) struct Broken {
    /// What is wrong with it.
    pub(crate) name: &'static str,
    pub(crate) file: File,
    /// A part of the reason.
    pub(crate) reason: &'static str,
}

/// What lies at the path.
pub(crate) enum File {
    Bytes(Vec<u8>),
    Directory,
    Pipe,
    Link(&'static str),
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Directory => f.write_str("a directory"),
            Self::Pipe => f.write_str("a pipe"),
            Self::Link(target) => write!(f, "a link to {target}"),
        }
    }
}

impl Broken {
    /// Puts it at a path, in one step where the kernel has one for that.
    pub(crate) fn put(&self, path: &Path) {
        let beside = path.with_extension("tmp");
        match &self.file {
            File::Bytes(bytes) => fs::write(&beside, bytes).unwrap(),
            File::Directory => {
                remove(path);
                fs::create_dir(&beside).unwrap();
            }
            File::Pipe => mknodat(CWD, &beside, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap(),
            File::Link(target) => symlink(target, &beside).unwrap(),
        }
        if path.is_dir() && !path.is_symlink() {
            remove(path);
        }
        fs::rename(beside, path).unwrap();
    }
}

/// Removes whatever lies at a path.
pub(crate) fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => fs::remove_dir(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_missing) => {}
    }
}

/// A guest that exports what waPC demands, with something more before and after it.
fn guest(first: &str, more: &str) -> Vec<u8> {
    let wat = format!(
        "(module {first} (memory (export \"memory\") 1)
           (func $call (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)) {more})"
    );
    wat::parse_str(wat).unwrap()
}

fn wat(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

fn starting(start: Start) -> Vec<u8> {
    Build { start, ..Build::default() }.make(1)
}

/// Ten thousand blocks within each other, then the end of them all and of the function.
fn nested() -> Vec<u8> {
    let depth = 10_000;
    let blocks = [[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat();
    [&[0], blocks.as_slice(), &[0x41, 0x01, 0x0b]].concat()
}

/// All of them but the one that is [`endless`].
pub(crate) fn corpus() -> Vec<Broken> {
    let mut corpus = no_modules();
    corpus.extend(cut_off());
    corpus.extend(not_wapc());
    corpus.extend(invalid());
    corpus.extend(bombs());
    corpus.extend(bad_starts());
    corpus.extend(no_files());
    corpus
}

fn bytes(name: &'static str, bytes: impl Into<Vec<u8>>, reason: &'static str) -> Broken {
    Broken { name, file: File::Bytes(bytes.into()), reason }
}

/// Files of other kinds.
fn no_modules() -> Vec<Broken> {
    vec![
        bytes("nothing at all", b"", "the file is empty"),
        bytes("assembly text", b"(module)", "WebAssembly text"),
        bytes("assembly text behind a comment", b";; a guest\n(module)", "WebAssembly text"),
        bytes("prose", b"This is not the guest you are looking for.", "magic number"),
        bytes("compressed", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "magic number"),
        bytes("native code", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "ELF"),
        bytes("a component", b"\0asm\x0d\0\x01\0", "component"),
        bytes("a later version", b"\0asm\x02\0\0\0", "unknown version"),
        bytes("zeros", vec![0; 4096], "magic number"),
    ]
}

/// Files whose writer has not come to the end.
fn cut_off() -> Vec<Broken> {
    let whole = guest::build(1);
    let data = guest::without_data(&whole).len();
    vec![
        bytes("cut in the magic number", &whole[..3], "truncated"),
        bytes("cut in the version", &whole[..6], "truncated"),
        bytes("cut behind the header", &whole[..8], "export `memory` is missing"),
        bytes("cut in the types", &whole[..20], "truncated"),
        bytes("cut in the code", &whole[..data / 2], "truncated"),
        bytes("cut a byte before the data", &whole[..data - 1], "truncated"),
        bytes("cut in the data", &whole[..data + 5], "truncated"),
        bytes("with a stray byte behind it", [whole.as_slice(), b"\x01"].concat(), "module"),
    ]
}

/// Modules that are good, but no guests of waPC, or not of this host.
fn not_wapc() -> Vec<Broken> {
    let call = |body: &str| wat(&format!("(module (memory (export \"memory\") 1) {body})"));
    let memory64 = "(module (memory (export \"memory\") i64 1)
        (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))";
    let large_memory = "(module (memory (export \"memory\") 1000)
        (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))";
    let wrong_type = "(import \"wapc\" \"__guest_request\" (func (param i64 i32)))";
    vec![
        bytes("without __guest_call", call(""), "export `__guest_call` is missing"),
        bytes(
            "with another type of __guest_call",
            call("(func (export \"__guest_call\") (param i32) (result i32) (i32.const 1))"),
            "export `__guest_call` is",
        ),
        bytes(
            "with a global as __guest_call",
            call("(global (export \"__guest_call\") i32 (i32.const 1))"),
            "export `__guest_call` is a global",
        ),
        bytes(
            "without memory",
            wat("(module (func (export \"__guest_call\") (param i32 i32) (result i32) (i32.const 1)))"),
            "export `memory` is missing",
        ),
        bytes(
            "with a start function that takes something",
            guest("", "(func (export \"_start\") (param i32))"),
            "_start",
        ),
        bytes("with an unknown import", guest("(import \"env\" \"launch\" (func))", ""), "env.launch"),
        bytes(
            "with an unknown function of waPC",
            guest("(import \"wapc\" \"__nothing\" (func))", ""),
            "wapc.__nothing",
        ),
        bytes("with a function of waPC of another type", guest(wrong_type, ""), "offered as"),
        bytes("with an imported global", guest("(import \"env\" \"base\" (global i32))", ""), "env.base: a global"),
        bytes("with 64-bit memory", wat(memory64), "memory64"),
        bytes("with two memories", guest("", "(memory 1)"), "memor"),
        bytes("with more memory than it may have", wat(large_memory), "the initial memory of"),
        bytes("with a larger table than it may have", guest("(table 100000 funcref)", ""), "the initial table of"),
    ]
}

/// Modules that do not hold together.
fn invalid() -> Vec<Broken> {
    let twice = "(export \"again\" (func $call)) (export \"again\" (func $call))";
    vec![
        bytes("with an export of the same name twice", guest("", twice), "duplicate export"),
        bytes("with a name that is no text", wasm::exported_as(b"\xff\xfe", b"\0\x41\x01\x0b"), "UTF-8"),
        bytes("with an instruction that there is not", wasm::with_body(b"\0\xff\x0b"), "opcode"),
        bytes("with a function that leaves nothing", wasm::with_body(b"\0\x0b"), "type mismatch"),
        bytes("with a function without end", wasm::with_body(b"\0\x41\x01"), "does not compile"),
        bytes(
            "with a number that is no number",
            wasm::with_body(b"\0\x41\xff\xff\xff\xff\xff\xff\x0b"),
            "does not compile",
        ),
    ]
}

/// Modules that are small and make much work, or large and make none.
fn bombs() -> Vec<Broken> {
    let locals = b"\x01\xff\xff\xff\xff\x0f\x7f\x41\x01\x0b";
    let small = b"\0\x41\x01\x0b";
    vec![
        bytes("with four billion locals", wasm::with_body(locals), "locals"),
        bytes("with ten thousand blocks within each other", wasm::exported_as(b"deep", &nested()), "__guest_call"),
        bytes("with ten thousand functions for nothing", wasm::with_functions(b"many", 10_000, small), "__guest_call"),
        bytes("larger than it may be", vec![0; MODULE_SIZE + 1], "module_size limit"),
    ]
}

/// Guests that do not survive their start.
fn bad_starts() -> Vec<Broken> {
    let overflow = "(func $deep (export \"_initialize\") (call $deep))";
    vec![
        bytes("trapping in wapc_init", starting(Start::Traps), "start function `wapc_init` failed"),
        bytes("trapping in _initialize", guest("", "(func (export \"_initialize\") unreachable)"), "`_initialize`"),
        bytes("trapping in _start", guest("", "(func (export \"_start\") unreachable)"), "`_start`"),
        bytes("trapping in its start section", guest("", "(func $s unreachable) (start $s)"), "(start section)"),
        bytes("exiting with 1 at its start", starting(Start::Exits(1)), "exited with code 1"),
        bytes("calling itself at its start", starting(Start::Overflows), "stack limit"),
        bytes("calling itself in _initialize", guest("", overflow), "stack limit"),
        bytes("with data beyond its memory", guest("", "(data (i32.const 70000) \"x\")"), "out of bounds"),
        bytes(
            "with elements beyond its table",
            guest("(table 1 funcref)", "(elem (i32.const 7) $call)"),
            "out of bounds",
        ),
    ]
}

/// A guest that never comes to the end of its start, which takes as long as a call may.
pub(crate) fn endless() -> Broken {
    bytes("spinning at its start", starting(Start::Spins), "deadline")
}

/// What is no file.
fn no_files() -> Vec<Broken> {
    let other = |name, file, reason| Broken { name, file, reason };
    vec![
        other("a directory", File::Directory, "not a regular file"),
        other("a pipe", File::Pipe, "not a regular file"),
        other("a link to /dev/null", File::Link("/dev/null"), "not a regular file"),
        other("a link to /dev/zero", File::Link("/dev/zero"), "not a regular file"),
        other("a link to a directory", File::Link("/"), "not a regular file"),
    ]
}
