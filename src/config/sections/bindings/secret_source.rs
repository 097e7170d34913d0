//! Where a secret is: `{ file = "PATH" }` or `{ credential = "NAME" }`. A secret itself is never written here.

use std::path::Path;

use crate::config::{
    error::ConfigErrorKind,
    model::SecretSource,
    reader::{Node, Problem},
};

/// Reads where a secret is; relative paths are meant against the directory.
pub(in crate::config::sections) fn read(node: &Node<'_>, directory: &Path) -> Option<SecretSource> {
    const EXPECTED: &str = "where the secret is: { file = \"PATH\" } or { credential = \"NAME\" }";
    if node.is_text() {
        // What is written may be the secret: it is not repeated.
        return node.problem(Problem {
            kind: ConfigErrorKind::WrongType,
            found: "a text".to_owned(),
            expected: EXPECTED.to_owned(),
            hint: Some("secrets are not written into the configuration".to_owned()),
        });
    }
    let section = node.section(EXPECTED)?;
    let file = section.get("file").map(|node| node.path_in(directory));
    let credential = section.get("credential").map(|node| credential(&node));
    section.finish();
    match (file, credential) {
        (Some(file), None) => file.map(SecretSource::File),
        (None, Some(credential)) => credential.map(SecretSource::Credential),
        (found, _) => node.problem(Problem {
            kind: ConfigErrorKind::Conflict,
            found: if found.is_some() { "both `file` and `credential`" } else { "neither" }.to_owned(),
            expected: EXPECTED.to_owned(),
            hint: None,
        }),
    }
}

/// The name of a credential is that of a file in one directory.
fn credential(node: &Node<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a credential, without slashes";
    let name = node.text_without_nul(EXPECTED)?;
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return node.bad(ConfigErrorKind::BadValue, EXPECTED, None);
    }
    Some(name.to_owned())
}
