//! Guests of any number of builds, each of which tells who it is: `guest.wat` with its gaps filled in.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Id of the section that a cut leaves out.
const DATA_SECTION: u8 = 11;

/// Bytes of one function of those that make a guest larger, about.
const FILLER: usize = 396;

/// What a build does besides what every build does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Build {
    /// What its start function does.
    pub(crate) start: Start,
    /// Whether every call traps.
    pub(crate) traps: bool,
    /// Whether its probe answers `ill `.
    pub(crate) ill: bool,
    /// Whether it answers `export` with an error.
    pub(crate) keeps_state: bool,
    /// Whether it answers `import` with an error.
    pub(crate) wants_no_state: bool,
    /// The count that it does not take in `import`.
    pub(crate) unlucky: Option<u64>,
    /// About how many bytes of functions it has beside its own: compiling it takes what a real guest of that size takes.
    pub(crate) size: usize,
}

/// What a start function does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// There is none.
    #[default]
    None,
    /// Traps.
    Traps,
    /// Never returns.
    Spins,
    /// Exits with this code.
    Exits(u32),
    /// Calls itself until the stack is full.
    Overflows,
}

impl Start {
    fn wat(self) -> (String, String) {
        let start = |body: &str| format!("(func $start (export \"wapc_init\") {body})");
        let exit = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))";
        match self {
            Self::None => Default::default(),
            Self::Traps => (String::new(), start("unreachable")),
            Self::Spins => (String::new(), start("(loop $for_ever (br $for_ever))")),
            Self::Exits(code) => (exit.to_owned(), start(&format!("(call $proc_exit (i32.const {code}))"))),
            Self::Overflows => (String::new(), start("(call $start)")),
        }
    }
}

/// A guest that answers `build` with this number.
pub(crate) fn build(number: u32) -> Vec<u8> {
    Build::default().make(number)
}

/// What the guest of that number answers to `build`.
pub(crate) fn name(number: u32) -> String {
    format!("{number:08}")
}

/// The hash by which status and events name code.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file as it is while it is written, when all but its last section is there: a valid module.
pub(crate) fn without_data(bytes: &[u8]) -> Vec<u8> {
    let mut at = 8;
    while bytes[at] != DATA_SECTION {
        let mut size = 0;
        for shift in (0..).step_by(7) {
            at += 1;
            size |= usize::from(bytes[at] & 0x7f) << shift;
            if bytes[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + size;
    }
    bytes[..at].to_vec()
}

impl Build {
    /// The guest of this number.
    pub(crate) fn make(self, number: u32) -> Vec<u8> {
        let (imports, start) = self.start.wat();
        let when = |condition: bool, wat: &str| if condition { wat.to_owned() } else { String::new() };
        let refuse = "(return (call $refuse (i32.const 1112) (i32.const 3)))";
        let gaps = [
            ("IMPORTS", imports),
            ("START", start),
            ("NUMBER", name(number)),
            ("EACH_CALL", when(self.traps, "unreachable")),
            ("PROBE", if self.ill { "1112" } else { "1104" }.to_owned()),
            ("EXPORT", when(self.keeps_state, refuse)),
            ("IMPORT", when(self.wants_no_state, refuse) + &self.unlucky.map(unlucky).unwrap_or_default()),
            ("MORE", fillers(self.size / FILLER, number)),
        ];
        let mut wat = include_str!("guest.wat").to_owned();
        for operation in [
            "build", "both", "work", "count", "peek", "export", "import", "probe", "echo", "trap", "spin", "fail",
            "set", "get", "incr",
        ] {
            wat = wat.replace(&format!("@{operation}@"), &word(operation).to_string());
        }
        for (gap, text) in gaps {
            wat = wat.replace(&format!(";;{gap};;"), &text);
        }
        wat::parse_str(wat).unwrap()
    }
}

/// What refuses a count.
fn unlucky(count: u64) -> String {
    format!(
        "(if (i32.eq (call $decimal) (i32.const {count})) (then (return (call $refuse (i32.const 1112) (i32.const 3)))))"
    )
}

/// The letters of an operation as the guest reads them in one go.
fn word(operation: &str) -> u64 {
    let mut letters = [0; 8];
    letters[..operation.len()].copy_from_slice(operation.as_bytes());
    u64::from_le_bytes(letters)
}

/// Functions that compute, load, store, branch and call each other, as compiled programs do; no two are alike.
fn fillers(count: usize, seed: u32) -> String {
    let mut wat = String::new();
    for n in 0..count {
        // Locals without names, which would go into the file.
        write!(wat, "(func $f{n} (param i32 i64) (result i64) (local i32 i64)").unwrap();
        for step in 0..8 {
            let salt = 1 + (n * 31 + step * 7 + seed as usize) % 8_000;
            write!(
                wat,
                "(local.set 2 (i32.add (i32.mul (local.get 0) (i32.const {salt})) (i32.const {step})))
                 (if (i32.lt_u (local.get 2) (i32.const {salt})) (then
                   (i64.store offset={} (i32.and (local.get 2) (i32.const 4095)) (local.get 1))))
                 (local.set 3 (i64.xor (local.get 3) (i64.load offset={} (i32.and (local.get 2) (i32.const 4095)))))",
                8_192 + salt,
                8_192 + salt / 2,
            )
            .unwrap();
        }
        match n {
            0 => wat.push_str("(local.get 3))\n"),
            _ => writeln!(wat, "(call $f{} (local.get 2) (local.get 3)))", n - 1).unwrap(),
        }
    }
    wat
}
