//! `[modules.NAME.swap]`: how new code of a running module takes over.

use crate::config::{
    bounds, defaults,
    error::ConfigErrorKind,
    model::{HandOver, ModuleLimits, Probation, Probe, Swap},
    reader::{Node, Problem, Section},
    size::Size,
};

pub(super) const OPERATION: &str = "the name of one of the guest's operations";

/// Reads it; what a probe sends and expects must fit the module's limits.
pub(super) fn read(section: Option<Section<'_>>, limits: &ModuleLimits) -> Swap {
    let Some(section) = section else {
        return Swap::default();
    };
    let swap = Swap {
        probe: section.get("probe").and_then(|node| probe(&node, limits)),
        probation: probation(&section),
        hand_over: hand_over(&section),
    };
    section.finish();
    swap
}

fn probe(node: &Node<'_>, limits: &ModuleLimits) -> Option<Probe> {
    let section = node.section("a table { operation, payload, expect }")?;
    let operation = section.require("operation", OPERATION).and_then(|node| operation(&node));
    let payload = section.or("payload", "", |node| fitting(node, limits.payload, "payload"));
    let expect = section.get("expect").and_then(|node| fitting(&node, limits.response, "response"));
    section.finish();
    Some(Probe { operation: operation?, payload: payload.to_owned(), expect: expect.map(str::to_owned) })
}

pub(super) fn operation(node: &Node<'_>) -> Option<String> {
    match node.text(OPERATION)? {
        "" => node.bad(ConfigErrorKind::BadValue, OPERATION, None),
        name => Some(name.to_owned()),
    }
}

/// A text that a call of the module could send or get.
pub(super) fn fitting<'d>(node: &Node<'d>, most: u64, limit: &str) -> Option<&'d str> {
    let text = node.text("a text")?;
    if text.len() as u64 <= most {
        return Some(text);
    }
    node.problem(Problem {
        kind: ConfigErrorKind::Conflict,
        found: format!("a text of {} bytes, more than the module's limits.{limit} of {}", text.len(), Size::new(most)),
        expected: format!("a text within limits.{limit}"),
        hint: None,
    })
}

fn probation(section: &Section<'_>) -> Option<Probation> {
    let node = section.get("probation");
    let max_failures = section.get("max_failures");
    if node.is_none()
        && let Some(max_failures) = &max_failures
    {
        max_failures.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: "`max_failures` without `probation`".to_owned(),
            expected: "the time in which failures of new code are counted beside it".to_owned(),
            hint: Some("write probation = \"30s\"".to_owned()),
        });
    }
    let max_failures = max_failures.map(|node| node.count(&bounds::PROBATION_FAILURES));
    let time = node?.time(&bounds::PROBATION)?;
    Some(Probation { time, max_failures: max_failures.unwrap_or(Some(defaults::PROBATION_FAILURES))? })
}

/// Both operations or none: what one guest gives must be taken by another.
fn hand_over(section: &Section<'_>) -> Option<HandOver> {
    let (export, import) = (section.get("export"), section.get("import"));
    let lonely = match (&export, &import) {
        (Some(node), None) => Some((node, "export", "import")),
        (None, Some(node)) => Some((node, "import", "export")),
        _ => None,
    };
    if let Some((node, there, missing)) = lonely {
        node.problem::<()>(Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("`{there}` without `{missing}`"),
            expected: "both or neither: what the old instance exports is imported by the new one".to_owned(),
            hint: None,
        });
    }
    let export = export.and_then(|node| operation(&node));
    let import = import.and_then(|node| operation(&node));
    Some(HandOver { export: export?, import: import? })
}
