//! "Did you mean …?": the known name nearest to one that was misspelt.

/// Longer texts are no misspelt keys; comparing them would cost time that grows with the product of both lengths.
const LONGEST: usize = 64;
/// Among more names than this none is looked for: a file with thousands of modules, and as many mistakes, would be compared
/// each with each. There are some 600 time zones.
const MOST: usize = 1000;

/// A hint that names the candidate nearest to what was written, if one is near enough to be meant.
pub(in crate::config) fn did_you_mean<'c>(
    written: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<String> {
    nearest(written, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// A third of the letters may differ, but at least one and, in long names, at most three.
fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let candidates: Vec<&str> = candidates.into_iter().take(MOST + 1).collect();
    if written.len() > LONGEST || candidates.len() > MOST {
        return None;
    }
    let written = written.to_lowercase().replace('-', "_");
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|name| (strsim::osa_distance(&written, &name.replace('-', "_")), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["instances", "queue", "queue_bytes", "path", "per-worker"];

    #[test]
    fn near_misses_are_recognised() {
        for (written, meant) in [
            ("instance", "instances"),
            ("Instances", "instances"),
            ("queue-bytes", "queue_bytes"),
            ("queeu", "queue"),
            ("pth", "path"),
            ("per_worker", "per-worker"),
        ] {
            assert_eq!(nearest(written, KEYS), Some(meant), "{written}");
        }
    }

    #[test]
    fn what_is_far_from_every_name_gets_no_hint() {
        for written in ["", "q", "colour", "listen", &"queue".repeat(1000)] {
            assert_eq!(nearest(written, KEYS), None, "{written}");
        }
    }

    #[test]
    fn among_very_many_names_none_is_looked_for() {
        assert_eq!(nearest("patch", std::iter::repeat_n("path", MOST)), Some("path"));
        assert_eq!(nearest("patch", std::iter::repeat_n("path", MOST + 1)), None);
    }
}
