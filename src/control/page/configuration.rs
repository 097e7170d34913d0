//! The configuration that holds and the drop-in directory, with everything in them that was refused.

use super::{
    put,
    text::{ago, below, utc, visible},
};
use crate::supervisor::status::{ConfigurationStatus, DropInStatus};

/// The file, its age, and the problems of the last reload where that was refused.
pub(super) fn configuration(it: &ConfigurationStatus, now: f64) -> String {
    let mut text = format!(
        "configuration {}, loaded {} ({}), {}, {} refused\n",
        visible(&it.path),
        ago(it.loaded_at, now),
        utc(it.loaded_at),
        if it.reloads == 1 { "1 reload".to_owned() } else { format!("{} reloads", it.reloads) },
        it.reloads_refused
    );
    if let Some(error) = &it.last_error {
        put(
            &mut text,
            format_args!(
                "!! THE LAST RELOAD WAS REFUSED, {} ({}), and changed nothing:\n",
                ago(error.at, now),
                utc(error.at)
            ),
        );
        error.problems.iter().for_each(|problem| put(&mut text, format_args!("     {}\n", below(problem, "     "))));
    }
    text
}

/// The directory, and the files in it that are not accepted, with the reasons.
pub(super) fn drop_in(it: &DropInStatus) -> String {
    let count = it.refused.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut text = format!("drop-in directory {}, {count} file{plural} refused\n", visible(&it.path));
    for file in &it.refused {
        put(&mut text, format_args!("!! {}: {}\n", visible(&file.file), below(&file.why, "     ")));
    }
    text
}
