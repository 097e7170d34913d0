//! What a swap, a rollback or a reload did, or would do.

use super::{
    module::outcome,
    put,
    text::{hash, visible},
};
use crate::{
    control::table::Table,
    supervisor::status::{ChangeStatus, ReloadReport, SwapReport},
};

/// What a swap did.
#[must_use]
pub fn swap(report: &SwapReport, now: f64) -> String {
    swapped(report, "is this code already: nothing to do", now)
}

/// What a rollback did.
#[must_use]
pub fn rollback(report: &SwapReport, now: f64) -> String {
    swapped(report, "is the code that runs already: nothing to do", now)
}

fn swapped(report: &SwapReport, same: &str, now: f64) -> String {
    let SwapReport { changed, module } = report;
    let sha256 = module.sha256.as_deref().map(|sha256| visible(&hash(sha256)));
    let sha256 = sha256.map(|sha256| format!("  sha256      {sha256}\n")).unwrap_or_default();
    if *changed {
        return format!("{}{sha256}", outcome(module, now));
    }
    format!("{}: generation {} {same}\n{sha256}", visible(&module.name), module.generation)
}

/// The changes of a reload, a line each: what it takes, of what, and the keys that differ; below it what went wrong.
#[must_use]
pub fn reload(report: &ReloadReport) -> String {
    if report.changes.is_empty() {
        return "the configuration is the same: nothing to do\n".to_owned();
    }
    let mut table = Table::new(&[], &[]);
    for ChangeStatus { subject, action, keys, .. } in &report.changes {
        table.row(vec![visible(action), visible(subject), visible(&keys.join(", "))]);
    }
    let mut page = String::new();
    for (line, change) in table.rows().zip(&report.changes) {
        put(&mut page, format_args!("{line}\n"));
        if let Some(error) = &change.error {
            put(&mut page, format_args!("    !! {}\n", visible(error)));
        }
    }
    let count = report.changes.len();
    let plural = if count == 1 { "" } else { "s" };
    let failed = report.changes.iter().filter(|change| change.error.is_some()).count();
    let end = match (report.dry_run, failed) {
        (true, _) => format!("{count} change{plural}, nothing was applied"),
        (false, 0) => format!("{count} change{plural} applied"),
        (false, failed) => format!("{count} change{plural} applied, {failed} of them with an error"),
    };
    page + &end + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(action: &str, subject: &str, keys: &[&str], error: Option<&str>) -> ChangeStatus {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        ChangeStatus { subject: subject.into(), action: action.into(), keys, error: error.map(str::to_owned) }
    }

    #[test]
    fn a_plan_has_a_line_a_change_and_says_that_nothing_was_applied() {
        let changes = vec![
            change("swap", "modules.orders", &["path"], None),
            change("adjust", "modules.a\u{1b}[2J", &["limits.memory", "links"], None),
            change("remove", "bindings.cache", &[], None),
        ];
        assert_eq!(
            reload(&ReloadReport { dry_run: true, changes }),
            "swap    modules.orders      path\n\
             adjust  modules.a\\u{1b}[2J  limits.memory, links\n\
             remove  bindings.cache\n\
             3 changes, nothing was applied\n"
        );
    }

    #[test]
    fn what_went_wrong_stands_below_its_change() {
        let changes = vec![change("add", "modules.new", &[], Some("it trapped\nin its start"))];
        assert_eq!(
            reload(&ReloadReport { dry_run: false, changes }),
            "add  modules.new\n    !! it trapped\\nin its start\n1 change applied, 1 of them with an error\n"
        );
        assert_eq!(reload(&ReloadReport::default()), "the configuration is the same: nothing to do\n");
    }
}
