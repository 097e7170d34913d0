//! A `files` trigger.

use super::{Mentions, Places, format, target};
use crate::config::{
    bounds, defaults,
    model::{AfterFile, FilesSettings},
    reader::Section,
};

const AFTER: &[(&str, AfterFile)] = &[("keep", AfterFile::Keep), ("delete", AfterFile::Delete)];

/// Reads what belongs to the type; without a `dir` the inbox has the trigger's name.
pub(super) fn read<'d>(
    section: &Section<'d>,
    name: &str,
    places: Places<'_>,
    mentions: &mut Mentions<'d>,
) -> FilesSettings {
    FilesSettings {
        dir: section.or("dir", places.state_dir.join(name), |node| node.path_in(places.state_dir)),
        target: target(section, mentions),
        envelope: section.or("envelope", None, |node| format(node).map(Some)),
        max_size: section.or("max_size", defaults::PAYLOAD, |node| node.size(&bounds::PAYLOAD)),
        concurrency: section
            .or("concurrency", defaults::FILES_CONCURRENCY, |node| node.count(&bounds::TRIGGER_CONCURRENCY)),
        attempts: section.or("attempts", defaults::FILE_ATTEMPTS, |node| node.count(&bounds::TRIGGER_ATTEMPTS)),
        retry_delay: section.or("retry_delay", defaults::RETRY_DELAY, |node| node.time(&bounds::RETRY_DELAY)),
        after: section.or("after", AfterFile::Keep, |node| node.choice(AFTER)),
    }
}
