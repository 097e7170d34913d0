//! The package, and one that is newer: with another shipped configuration, and otherwise the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What the newer package says at the end of its configuration.
pub(crate) const NEWS: &str = "# This line came with the newer package.";

/// A directory with `wapcd.deb` and `newer.deb`.
#[derive(Debug)]
pub(crate) struct Packages(PathBuf);

impl Packages {
    pub(crate) fn new(package: &Path) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        fs::remove_dir_all(&directory).unwrap_or_default();
        fs::create_dir_all(&directory).unwrap();
        fs::copy(package, directory.join("wapcd.deb")).unwrap();
        newer(&directory);
        Self(directory)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }
}

fn newer(directory: &Path) {
    let tree = directory.join("tree");
    dpkg_deb(directory, &["--raw-extract", "wapcd.deb", "tree"]);
    edit(&tree.join("DEBIAN/control"), |control| control.replace("\nVersion: ", "\nVersion: 1:"));
    edit(&tree.join("etc/wapcd/wapcd.toml"), |shipped| format!("{shipped}\n{NEWS}\n"));
    dpkg_deb(directory, &["--root-owner-group", "-Zgzip", "-z1", "--build", "tree", "newer.deb"]);
    fs::remove_dir_all(tree).unwrap();
}

fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).unwrap())).unwrap();
}

fn dpkg_deb(directory: &Path, arguments: &[&str]) {
    let output = Command::new("dpkg-deb").current_dir(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "dpkg-deb {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
