//! All modules run on one engine, the daemon's: a second one would need what the first was chosen to do without.

use crate::config::{error::ConfigErrorKind, model::Daemon, reader::Problem, sections::module::WrittenModule};

/// Gives modules the engine of the daemon; one that names another than the configuration's is a mistake, also where the command
/// line has its own: a configuration is good or bad whatever runs it.
pub(in crate::config) fn engines<'w, 'd: 'w>(
    modules: impl IntoIterator<Item = &'w mut WrittenModule<'d>>,
    daemon: &Daemon,
) {
    let configured = daemon.configured_engine;
    for written in modules {
        let named = std::mem::replace(&mut written.module.engine, daemon.engine);
        if let Some(node) = written.engine.as_ref().filter(|_| named != configured) {
            node.problem::<()>(Problem {
                kind: ConfigErrorKind::Conflict,
                found: format!("the engine `{}`", named.as_str()),
                expected: format!("`{}`, on which all modules run", configured.as_str()),
                hint: Some("the engine of all modules is `daemon.engine`".to_owned()),
            });
        }
    }
}
