//! `[logging]`: how much is logged, and how it looks.

use crate::config::{
    model::{LogFormat, LogLevel, Logging},
    reader::Section,
};

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("journald", LogFormat::Journald),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
];

/// Reads it.
pub(in crate::config) fn read(section: Option<Section<'_>>) -> Logging {
    let base = Logging::default();
    let Some(section) = section else {
        return base;
    };
    let logging = Logging {
        level: section.or("level", base.level, |node| node.choice(LEVELS)),
        format: section.or("format", base.format, |node| node.choice(FORMATS)),
    };
    section.finish();
    logging
}
