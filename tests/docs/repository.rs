//! The files of the repository, as the other tests read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a file, by its path from the top.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file with this ending in a folder and the folders in it, by its path from the top, sorted.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            // What builds and package managers put there is not the repository's.
            if entry.file_type().unwrap().is_dir() && !["target", "node_modules"].contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(ending) {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every document: those at the top, and those in the folders that have some.
pub(crate) fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(PathBuf::from).into();
    for folder in ["docs", "examples", "benches", "tests"] {
        found.extend(files(folder, ".md"));
    }
    found
}

/// The fenced blocks of a document, each with its language and without its fences.
pub(crate) fn fenced(document: &Path) -> Vec<(String, String)> {
    let text = text(document);
    let mut lines = text.lines();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            found.push((language.to_owned(), block));
        }
    }
    found
}

/// The fenced blocks of a document in one language.
pub(crate) fn blocks(document: &Path, language: &str) -> Vec<String> {
    fenced(document).into_iter().filter(|(own, _)| own == language).map(|(_, block)| block).collect()
}
