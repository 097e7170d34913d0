//! What runs, what to go back to, and when: every way in which code takes the place of other code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use super::*;
use crate::{
    host::{EngineSettings, WasmtimeEngine},
    supervisor::kept::Kept,
};

const GUEST: &str = r#"(module (memory (export "memory") 1)
    (func (export "__guest_call") (param i32 i32) (result i32) (i32.const 1)))"#;

/// Code whose hash is its name.
struct Codes {
    compiled: CompiledModule,
    kept: Kept,
}

impl Codes {
    fn new() -> Self {
        let engine = WasmtimeEngine::new(EngineSettings { instances: 1, ..EngineSettings::default() }).unwrap();
        let compiled = engine.compile(&wat::parse_str(GUEST).unwrap()).unwrap();
        Self { compiled, kept: Kept::new(Path::new("nowhere")) }
    }

    fn code(&self, sha256: &str, generations: &mut Generations) -> Code {
        Code {
            compiled: self.compiled.clone(),
            sha256: sha256.into(),
            size: 1,
            generation: generations.next_number(),
            _held: Arc::new(self.kept.hold(sha256)),
        }
    }

    /// A module that runs `a`.
    fn started(&self) -> Generations {
        let mut generations = Generations::default();
        let code = self.code("a", &mut generations);
        generations.start(code, GenerationOrigin::Start, None);
        generations
    }

    fn swap(&self, generations: &mut Generations, sha256: &str, origin: GenerationOrigin) {
        let code = self.code(sha256, generations);
        let why = (origin == GenerationOrigin::RollBack).then(|| "it failed".to_owned());
        generations.take_over(code, origin, why);
    }
}

fn last_good(generations: &Generations) -> Option<&str> {
    generations.last_good().map(|code| &*code.sha256)
}

fn outcomes(generations: &Generations) -> Vec<(u64, GenerationOutcome)> {
    generations.told().iter().map(|told| (told.generation, told.outcome)).collect()
}

fn file(sha256: &str) -> FileSeen {
    let fingerprint = Fingerprint { dev: 1, ino: 1, size: 1, mtime_ns: 1, ctime_ns: 1 };
    FileSeen { sha256: sha256.into(), fingerprint }
}

#[test]
fn one_failure_more_than_allowed_ends_a_probation_once() {
    let codes = Codes::new();
    for (of, failures) in [(0, 1), (1, 2), (3, 4)] {
        let mut generations = codes.started();
        codes.swap(&mut generations, "b", GenerationOrigin::File);
        generations.watch(of);
        let ended: Vec<u32> = (1..=failures + 3).filter(|_| generations.count_failure(2).is_some()).collect();
        assert_eq!(ended, [failures], "{of} allowed");
        assert!(!generations.pass(2), "{of} allowed");
    }
}

#[test]
fn a_probation_counts_its_own_generation_and_ends_nothing_where_nothing_ran_before() {
    let codes = Codes::new();
    let mut generations = codes.started();
    codes.swap(&mut generations, "b", GenerationOrigin::File);
    generations.watch(0);
    assert_eq!(generations.count_failure(1), None, "the one before");
    assert!(!generations.pass(1));
    assert!(generations.pass(2));
    assert_eq!(generations.count_failure(2), None, "it has passed");
    codes.swap(&mut generations, "a", GenerationOrigin::RollBack);
    generations.watch(0);
    assert_eq!(generations.count_failure(3), None, "there is nothing to go back to");
}

#[test]
fn what_ran_before_is_gone_back_to_unless_it_failed_itself() {
    let codes = Codes::new();
    let mut generations = codes.started();
    assert_eq!(last_good(&generations), None);
    codes.swap(&mut generations, "b", GenerationOrigin::File);
    assert_eq!(last_good(&generations), Some("a"));
    generations.watch(0);
    generations.count_failure(2).unwrap();
    codes.swap(&mut generations, "c", GenerationOrigin::File);
    assert_eq!(last_good(&generations), Some("a"), "b failed");
    codes.swap(&mut generations, "d", GenerationOrigin::Operator);
    assert_eq!(last_good(&generations), Some("c"));
    let code = codes.code("e", &mut generations);
    generations.start(code, GenerationOrigin::Start, None);
    assert_eq!(last_good(&generations), None, "a start loads anew");
}

#[test]
fn code_that_is_rolled_back_is_barred_and_nothing_is_behind_what_follows() {
    let codes = Codes::new();
    let mut generations = codes.started();
    codes.swap(&mut generations, "b", GenerationOrigin::File);
    generations.watch(5);
    codes.swap(&mut generations, "a", GenerationOrigin::RollBack);
    assert_eq!(generations.barred, ["b".into()].into());
    assert_eq!((generations.sha256().map(|it| &**it), last_good(&generations)), (Some("a"), None));
    let expected =
        [(3, GenerationOutcome::Current), (2, GenerationOutcome::RolledBack), (1, GenerationOutcome::Replaced)];
    assert_eq!(outcomes(&generations), expected);
    assert_eq!(generations.told()[1].why.as_deref(), Some("it failed"));
    assert_eq!(generations.probation, None);
}

#[test]
fn code_that_did_not_take_over_is_told_of_below_what_runs_and_only_the_last_are_told() {
    let codes = Codes::new();
    let mut generations = codes.started();
    let error = || SwapErrorStatus {
        at: 0.0,
        origin: GenerationOrigin::File,
        sha256: None,
        causes: vec!["one".to_owned(), "two".to_owned()],
    };
    for _ in 0..30 {
        let code = codes.code("b", &mut generations);
        generations.refuse(Some(&code), error());
    }
    let told = generations.told();
    assert_eq!((told.len(), told[0].generation, told[1].generation), (TOLD, 1, 31));
    assert_eq!((told[1].outcome, told[1].why.as_deref()), (GenerationOutcome::Refused, Some("one: two")));
    assert!(generations.last_error.is_some());
    codes.swap(&mut generations, "c", GenerationOrigin::File);
    assert_eq!((generations.generation(), generations.last_error.clone()), (32, None));
    assert_eq!(outcomes(&generations)[..2], [(32, GenerationOutcome::Current), (1, GenerationOutcome::Replaced)]);
}

#[test]
fn what_somebody_wanted_runs_instead_of_the_file_and_says_so() {
    let codes = Codes::new();
    let mut generations = codes.started();
    assert!(generations.note_file(file("a")));
    assert!(!generations.note_file(file("a")), "it was only touched");
    for (origin, instead) in
        [(GenerationOrigin::Operator, true), (GenerationOrigin::RollBack, true), (GenerationOrigin::File, false)]
    {
        codes.swap(&mut generations, "b", origin);
        assert_eq!(generations.is_instead_of_file(), instead, "{origin:?}");
    }
    assert_eq!(generations.differs().as_deref(), Some("the file has changed"));
    generations.run_instead("somebody wanted it".to_owned());
    assert_eq!(generations.differs().as_deref(), Some("somebody wanted it"));
    assert!(generations.note_file(file("b")));
    assert_eq!(generations.differs(), None);
}
