//! All modules run on one engine, the daemon's: a second one would need what the first was chosen to do without.

use crate::config::{error::ConfigErrorKind, model::EngineKind, reader::Problem, sections::module::WrittenModule};

/// Gives modules the engine of the daemon; one that names another is a mistake.
pub(in crate::config) fn engines<'w, 'd: 'w>(
    modules: impl IntoIterator<Item = &'w mut WrittenModule<'d>>,
    engine: EngineKind,
) {
    for written in modules {
        let named = std::mem::replace(&mut written.module.engine, engine);
        if let Some(node) = written.engine.as_ref().filter(|_| named != engine) {
            node.problem::<()>(Problem {
                kind: ConfigErrorKind::Conflict,
                found: format!("the engine `{}`", named.as_str()),
                expected: format!("`{}`, on which all modules run", engine.as_str()),
                hint: Some("the engine of all modules is `daemon.engine`".to_owned()),
            });
        }
    }
}
