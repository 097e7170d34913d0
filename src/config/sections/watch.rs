//! `[watch]`: how changes of files are noticed.

use crate::config::{
    bounds,
    error::ConfigErrorKind,
    model::{Watch, WatchMode},
    reader::{Node, Problem, Section},
};

const MODES: &[(&str, WatchMode)] = &[("auto", WatchMode::Auto), ("poll", WatchMode::Poll), ("off", WatchMode::Off)];

/// Reads it.
pub(in crate::config) fn read(section: Option<Section<'_>>) -> Watch {
    let base = Watch::default();
    let Some(section) = section else {
        return base;
    };
    let watch = Watch {
        mode: section.or("mode", base.mode, |node| node.choice(MODES)),
        settle: section.or("settle", base.settle, |node| node.time(&bounds::WATCH_SETTLE)),
        poll: section.or("poll", base.poll, |node| node.time(&bounds::WATCH_POLL)),
        config: section.or("config", base.config, Node::flag),
    };
    if watch.mode == WatchMode::Off
        && watch.config
        && let Some(node) = section.get("config")
    {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "`config = true` beside `mode = \"off\"`, with which no change is noticed".to_owned(),
            expected: "a reload by itself only where files are watched".to_owned(),
            hint: Some("write mode = \"auto\", or leave `config` out".to_owned()),
        });
    }
    section.finish();
    watch
}
