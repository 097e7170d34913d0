//! The code of a module: in one word for a table, with all generations and the last swap error for its page.

use super::{
    exit::causes,
    put,
    text::{ago, bytes, hash, utc, visible, words},
};
use crate::{
    control::table::Table,
    supervisor::status::{GenerationOutcome, GenerationStatus, ModuleStatus, SwapErrorStatus},
};

/// What is worth a look about a module's code, the most urgent first: a swap is under way, the last one failed, the code is on
/// probation, it is not that of the file. `-` where nothing is.
pub(super) fn word(module: &ModuleStatus) -> &'static str {
    if module.swapping.is_some() {
        "swapping"
    } else if module.last_swap_error.is_some() {
        "refused"
    } else if on_probation(module) {
        "probation"
    } else if module.differs.is_some() {
        "differs"
    } else {
        "-"
    }
}

/// The number of the generation, and whether it is watched.
pub(super) fn generation(module: &ModuleStatus) -> String {
    let probation = if on_probation(module) { ", on probation" } else { "" };
    format!("{}{probation}", module.generation)
}

fn on_probation(module: &ModuleStatus) -> bool {
    module.generations.iter().any(|generation| generation.outcome == GenerationOutcome::OnProbation)
}

/// The last generations as a table, in the order in which they were sent: newest first.
pub(super) fn generations(generations: &[GenerationStatus], now: f64) -> String {
    if generations.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["  GEN", "SHA256", "SIZE", "AT", "", "ORIGIN", "OUTCOME", "WHY"], &[0, 2]);
    for it in generations {
        table.row(vec![
            it.generation.to_string(),
            visible(&hash(&it.sha256)),
            bytes(it.size),
            utc(it.at),
            ago(it.at, now),
            words(it.origin.as_str()),
            words(it.outcome.as_str()),
            it.why.as_deref().map(visible).unwrap_or_default(),
        ]);
    }
    table.render()
}

/// Why the last swap kept the old code, with every cause on a line of its own.
pub(super) fn swap_error(error: &SwapErrorStatus, now: f64) -> String {
    let hash = error.sha256.as_deref().map(|sha256| format!(", sha256 {}", visible(&hash(sha256)))).unwrap_or_default();
    let mut text = format!(
        "  swap error  from {}, {} ({}){hash}\n",
        words(error.origin.as_str()),
        ago(error.at, now),
        utc(error.at)
    );
    put(&mut text, format_args!("{}", causes(&error.causes)));
    text
}
