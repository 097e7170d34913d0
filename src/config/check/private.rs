//! No guest is given the directories of the daemon that hold code: whoever writes there decides what runs, as
//! native code even.

use std::path::{Path, PathBuf};

use super::without_detours;
use crate::config::{
    error::ConfigErrorKind,
    model::{Daemon, SWAPS_DIRECTORY},
    reader::Problem,
    sections::module::WrittenModule,
};

/// Checks the directories that WASI opens to guests. Links of the file system are not followed: nothing is read here.
pub(in crate::config) fn private_directories(modules: &[WrittenModule<'_>], daemon: &Daemon) {
    let private = [&daemon.code_dir, &daemon.state_dir.join(SWAPS_DIRECTORY)].map(|path| without_detours(path));
    for written in modules {
        let Some(node) = &written.wasi else { continue };
        let wasi = &written.module.wasi;
        let opened = wasi.preopened_dirs.iter().chain(wasi.map_dirs.iter().map(|(_, host)| host));
        for directory in opened {
            if let Some(inside) = private.iter().find(|private| overlap(directory, private)) {
                node.problem::<()>(Problem {
                    kind: ConfigErrorKind::Conflict,
                    found: format!(
                        "the directory `{}`, which holds or is in `{}`",
                        directory.display(),
                        inside.display()
                    ),
                    expected: "a directory apart from the code that the daemon keeps".to_owned(),
                    hint: Some("whoever writes there decides what the daemon runs".to_owned()),
                });
            }
        }
    }
}

fn overlap(directory: &Path, private: &PathBuf) -> bool {
    let directory = without_detours(directory);
    directory.starts_with(private) || private.starts_with(&directory)
}
