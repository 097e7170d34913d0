//! Paths and links in documents lead somewhere.

use std::path::Path;

use crate::repository::{documents, files, root, text};

/// Folders at the top: a word that begins with one of them is a path.
const FOLDERS: [&str; 9] = [".ci/", "benches/", "docs/", "etc/", "examples/", "fuzz/", "scripts/", "src/", "tests/"];

/// Paths that are there only after a build or while the daemon runs, with everything below them.
const MADE: [&str; 4] =
    ["examples/quickstart/run", "examples/quickstart/state", "examples/swapping/deploy", "examples/swapping/state"];

/// Words of a text that are paths from the top.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-./".contains(c))
        .map(|word| word.trim_end_matches(['.', '/']))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
}

fn is_made(path: &str) -> bool {
    MADE.iter().any(|made| Path::new(path).starts_with(made))
}

/// Targets of a document's links.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0))
}

/// Whether a document has a heading with this anchor.
fn has_anchor(document: &str, anchor: &str) -> bool {
    let headings =
        document.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    headings
        .map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-"))
        .any(|own| own == anchor)
}

#[test]
fn every_path_that_a_document_at_the_top_names_is_there() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = text(document);
        let missing: Vec<_> = paths(&text).filter(|path| !is_made(path) && !root().join(path).exists()).collect();
        assert!(missing.is_empty(), "{document} names what is not there: {missing:?}");
        assert!(paths(&text).count() > 5, "{document}: paths are no longer recognised");
    }
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    for document in documents() {
        let own = text(&document);
        for target in targets(&own).filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let place = if path.is_empty() { document.clone() } else { document.parent().unwrap().join(path) };
            assert!(root().join(&place).exists(), "{}: the link {target} leads nowhere", document.display());
            if !anchor.is_empty() {
                let there = has_anchor(&text(&place), anchor);
                assert!(there, "{}: {} has no heading #{anchor}", document.display(), place.display());
            }
        }
    }
}

#[test]
fn the_architecture_names_every_part_of_the_source_in_under_200_lines() {
    let architecture = text("ARCHITECTURE.md");
    assert!(architecture.lines().count() < 200);
    for file in files("src", ".rs") {
        // A part is a file at the top of the source, or a folder there.
        let part: Vec<_> = file.iter().take(2).map(|part| part.to_str().unwrap()).collect();
        let path = part.join("/");
        assert!(architecture.contains(&path), "ARCHITECTURE.md does not name {path}");
    }
}
