//! `[daemon]`: directories, threads, and what the whole process may hold.

use std::path::{Path, PathBuf};

use crate::config::{
    bounds, defaults,
    environment::Environment,
    error::ConfigErrorKind,
    model::{CODE_DIRECTORY, Daemon, EngineKind},
    reader::{Node, Problem, Report, Section},
};

/// The engines, by the names that daemons and modules give them.
pub(super) const ENGINES: &[(&str, EngineKind)] =
    &[("cranelift", EngineKind::Cranelift), ("pulley", EngineKind::Pulley)];

/// Reads it; relative directories are meant against the directory of the file.
pub(in crate::config) fn read(
    section: Option<Section<'_>>,
    base: &Path,
    env: &Environment,
    report: &Report<'_>,
) -> Daemon {
    let Some(section) = section else {
        return defaults(None, env, report);
    };
    let state_dir = section.get("state_dir");
    let engine = section.or("engine", defaults::ENGINE, |node| node.choice(ENGINES));
    let daemon = Daemon {
        runtime_dir: section.or("runtime_dir", env.default_runtime_dir(), |node| node.path_in(base)),
        workers: section.or("workers", cores(env), |node| workers(node, env)),
        shutdown_grace: section
            .or("shutdown_grace", defaults::SHUTDOWN_GRACE, |node| node.time(&bounds::SHUTDOWN_GRACE)),
        engine: env.engine.unwrap_or(engine),
        configured_engine: engine,
        guest_stack: section.or("guest_stack", defaults::GUEST_STACK, |node| node.size(&bounds::GUEST_STACK)),
        queue_bytes: section.or("queue_bytes", defaults::DAEMON_QUEUE_BYTES, |node| node.size(&bounds::QUEUE_BYTES)),
        code_cache: section.or("code_cache", defaults::CODE_CACHE, |node| node.size(&bounds::CODE_CACHE)),
        ..defaults(state_dir.map(|node| node.path_in(base)), env, report)
    };
    section.finish();
    daemon
}

/// The section without any key but perhaps `state_dir`, whose inner `None` was reported already.
fn defaults(state_dir: Option<Option<PathBuf>>, env: &Environment, report: &Report<'_>) -> Daemon {
    let state_dir = match state_dir {
        Some(written) => written,
        None => env.default_state_dir().or_else(|| no_state_dir(report)),
    };
    let state_dir = state_dir.unwrap_or_default();
    Daemon {
        code_dir: env.cache_dir(&state_dir).join(CODE_DIRECTORY),
        state_dir,
        runtime_dir: env.default_runtime_dir(),
        workers: cores(env),
        shutdown_grace: defaults::SHUTDOWN_GRACE,
        engine: env.engine.unwrap_or(defaults::ENGINE),
        configured_engine: defaults::ENGINE,
        guest_stack: defaults::GUEST_STACK,
        queue_bytes: defaults::DAEMON_QUEUE_BYTES,
        code_cache: defaults::CODE_CACHE,
    }
}

fn no_state_dir(report: &Report<'_>) -> Option<PathBuf> {
    let problem = Problem {
        kind: ConfigErrorKind::MissingKey,
        found: "no such key, and neither $STATE_DIRECTORY, $XDG_STATE_HOME nor $HOME".to_owned(),
        expected: "a directory for databases and other written files".to_owned(),
        hint: Some("write state_dir = \"/some/directory\" below [daemon]".to_owned()),
    };
    report.add("daemon.state_dir", None, problem);
    None
}

/// `"auto"`, or a number.
fn workers(node: &Node<'_>, env: &Environment) -> Option<usize> {
    let written = node.count_or_word(&bounds::WORKERS, "auto")?;
    Some(written.map_or_else(|| cores(env), |count| count as usize))
}

/// One worker per core, within the bounds that hold for a written number.
fn cores(env: &Environment) -> usize {
    env.cores.clamp(*bounds::WORKERS.start() as usize, *bounds::WORKERS.end() as usize)
}
