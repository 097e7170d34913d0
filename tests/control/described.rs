//! What the fake says about itself: statuses with something in every member.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use wapcd::supervisor::status::{
    BackendStatus, BindingStatus, CacheStatus, ConfigurationStatus, DropInStatus, ExitStatus, GenerationOrigin,
    GenerationOutcome, GenerationStatus, GroupState, GroupStatus, HostCallCount, InstanceStatus, Latency, LoadStatus,
    ModuleState, ModuleStatus, RefusedFile, ServiceState, Status, SwapCounts, SwapErrorStatus, TriggerStatus,
    WorkerState, WorkerStatus,
};
use wapcd::triggers::{Detail, ListenerFacts, TriggerFacts};

use crate::fake::CALL;

/// Seconds since the Unix epoch.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn counted(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

pub(crate) fn module(name: &str, state: ModuleState) -> ModuleStatus {
    let exit = ExitStatus {
        reason: "trapped".into(),
        causes: vec!["the guest trapped: unreachable was executed".into(), "a \u{1b}[2J cause".into()],
        backtrace: vec!["pets::feed @ 0x1f".into()],
        operation: Some("feed".into()),
        call: Some(CALL),
        origin: Some("control".into()),
        at: now() - 10_810.0,
    };
    ModuleStatus {
        name: name.into(),
        state,
        group: (name == "failed").then(|| "pets".into()),
        waiting_for: Vec::new(),
        on_start: None,
        next_try: None,
        path: format!("/srv/{name}.wasm"),
        sha256: Some("ab".repeat(32)),
        generation: 3,
        declared: "configured".into(),
        differs: None,
        swapping: None,
        last_swap_error: None,
        swaps: [("file", 1, 3), ("operator", 2, 0)]
            .map(|(origin, done, failed)| (origin.to_owned(), SwapCounts { done, failed }))
            .into(),
        generations: generations(),
        instances: vec![InstanceStatus {
            id: 5,
            slot: 0,
            worker: 1,
            generation: 3,
            uptime_s: 60.0,
            memory_bytes: 65_536,
        }],
        queued: 2,
        queued_bytes: 10,
        in_flight: 1,
        calls_ok: 100,
        calls_failed: 4,
        calls_refused: 3,
        calls: counted(&[("ok", 100), ("trapped", 4), ("busy", 3)]),
        latency: Some(Latency { count: 104, sum_s: 1.04, buckets: vec![(0.001, 0), (0.01, 52), (0.1, 103)] }),
        restarts: 6,
        restarts_by_reason: counted(&[("trapped", 4), ("deadline_exceeded", 2)]),
        restarts_in_window: 2,
        last_exit: (state == ModuleState::Failed).then_some(exit),
        uptime_s: Some(61.0),
    }
}

/// A module whose code is not that of its file, amid a swap, after another that failed.
pub(crate) fn differing() -> ModuleStatus {
    let mut it = module("differs", ModuleState::Running);
    it.differs = Some("its file \u{1b}[2J is refused".into());
    it.swapping = Some("generation 5: 1 of 2 instances have it".into());
    it.generations[1].outcome = GenerationOutcome::OnProbation;
    it.last_swap_error = Some(SwapErrorStatus {
        at: now() - 3_670.0,
        origin: GenerationOrigin::RollBack,
        sha256: Some("0123456789abcdef".repeat(4)),
        causes: vec!["its probe failed".into(), "a \u{7} trap".into()],
    });
    it
}

/// Three loads of a module's code, newest first: one that never took over, the one that runs, and the one before.
fn generations() -> Vec<GenerationStatus> {
    let (refused, start) = (GenerationOutcome::Refused, GenerationOrigin::Start);
    let of = |generation, hash: &str, origin, outcome, why: Option<&str>| GenerationStatus {
        generation,
        sha256: hash.repeat(32),
        size: 1 << (8 + 2 * generation),
        origin,
        at: 951_782_400.0 + generation as f64,
        outcome,
        why: why.map(str::to_owned),
    };
    vec![
        of(4, "ef", GenerationOrigin::File, refused, Some("its probe \u{1b}[2J failed")),
        of(3, "ab", GenerationOrigin::Operator, GenerationOutcome::Current, None),
        of(2, "cd", start, GenerationOutcome::Replaced, None),
    ]
}

fn worker(index: usize) -> WorkerStatus {
    WorkerStatus { index, state: WorkerState::Running, stalled_s: None, instances: 1, replaced: 0 }
}

fn binding() -> BindingStatus {
    BindingStatus {
        name: "cache".into(),
        type_name: "keyvalue".into(),
        state: ServiceState::Running,
        group: None,
        next_try: None,
        host_calls: vec![
            HostCallCount { operation: "get".into(), outcome: "ok".into(), count: 12 },
            HostCallCount { operation: "get".into(), outcome: "not_found".into(), count: 2 },
        ],
        restarts_by_reason: Default::default(),
        restarts_in_window: 0,
        last_exit: None,
        uptime_s: None,
        backend: Some(BackendStatus { state: "connected".into(), since: 1_000.0, why: None, next_try: None, tries: 0 }),
        load: Some(LoadStatus { running: 1, waiting: 2, refused: 3 }),
        cache: Some(CacheStatus { hits: 4, misses: 5, entries: 6, bytes: 7 }),
        calls_ok: 12,
        calls_failed: 0,
        restarts: 0,
    }
}

pub(crate) fn status() -> Status {
    Status {
        version: "1.2.3".into(),
        pid: 7,
        uptime_s: 3_700.0,
        engine: "pulley".into(),
        workers: (0..2).map(worker).collect(),
        groups: vec![group()],
        triggers: triggers(),
        configuration: ConfigurationStatus {
            path: "/etc/wapcd/wapcd.toml".into(),
            loaded_at: now() - 3_610.0,
            reloads: 5,
            reloads_refused: 1,
            last_error: None,
        },
        drop_in: Some(DropInStatus {
            path: "/var/lib/wapcd/modules".into(),
            refused: vec![RefusedFile { file: "a\u{7}.wasm".into(), why: "user 7 owns it".into() }],
        }),
        draining: false,
        queue_bytes: 1536,
        modules: vec![module("echo", ModuleState::Running), module("failed", ModuleState::Failed)],
        bindings: vec![binding()],
    }
}

/// One trigger of each type, of which the last is stopped.
pub(crate) fn triggers() -> Vec<TriggerStatus> {
    let of = |name: &str, kind: &str, source: &str, detail| TriggerStatus {
        name: name.into(),
        type_name: kind.into(),
        sources: vec![source.into()],
        timezone: (kind == "schedule").then(|| "Europe/Berlin".into()),
        modules: vec!["echo".into()],
        state: ServiceState::Running,
        group: None,
        waiting_for: Vec::new(),
        next_try: None,
        restarts: 1,
        restarts_by_reason: counted(&[("ended", 1)]),
        restarts_in_window: 0,
        last_exit: None,
        uptime_s: Some(62.0),
        facts: Some(TriggerFacts {
            calls_ok: 20,
            calls_failed: 2,
            calls_running: 1,
            last_error: (kind == "http").then(|| "it is \u{1b}[2J full".into()),
            last_error_at: (kind == "http").then(|| now() - 3_670.0),
            detail,
        }),
    };
    let listeners = vec![ListenerFacts { address: "127.0.0.1:8443".into(), tls: true }];
    let http = Detail::Http { listeners, connections: 3, connections_refused: 4, responses: [0, 20, 0, 1, 2] };
    let next = (1..6).map(|day| 951_782_400.0 + 86_400.0 * f64::from(day)).collect();
    let schedule = Detail::Schedule { next, last: Some(951_782_400.0), skipped: 5, missed: 6, latest_s: 0.0035 };
    let why = Some("connection refused".into());
    let messages = Detail::Messages { connected: false, why, received: 7, redelivered: 3, given_up: 1, lost: 0 };
    vec![
        of("web", "http", "127.0.0.1:0", http),
        of("nightly", "schedule", "0 0 1 * * *", schedule),
        of("heard", "messages", "orders.*", messages),
        of("inbox", "files", "/srv/inbox", Detail::Files { waiting: 8, done: 9, failed: 2 }),
    ]
}

fn group() -> GroupStatus {
    GroupStatus {
        name: "pets".into(),
        state: GroupState::Running,
        strategy: "rest_for_one".into(),
        members: vec!["bindings.cache".into(), "modules.failed".into()],
        group: None,
        critical: true,
        restarts: 9,
        restarts_in_window: 2,
        next_try: None,
    }
}
