//! Configurations in documents pass the check.

use std::path::Path;

use wapcd::config::{self, Environment};

use crate::repository::{blocks, documents};

#[test]
fn every_configuration_in_a_document_is_accepted() {
    let environment = Environment::from_process();
    let mut checked = 0;
    for document in documents() {
        for block in blocks(&document, "toml") {
            // Other files in TOML are those of Cargo.
            if block.starts_with("[dependencies]") || block.starts_with("[lib]") {
                continue;
            }
            let config = config::parse(&block, Path::new("/etc/wapcd/wapcd.toml"), &environment);
            config.unwrap_or_else(|errors| panic!("{}: {errors}\n{block}", document.display()));
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} configurations were found");
}
