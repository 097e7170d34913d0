//! The drop-in directory: which of its files are modules, and why the others are not.
//!
//! A scan only looks. What it finds becomes part of the configuration like everything else: by a plan of what differs.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;

use super::{
    accept::{Facts, Refusal, Rules, module_name},
    fingerprint::Fingerprint,
    loader::{Acceptance, link_owner},
    read::{ReadError, read_settled},
    status::RefusedFile,
};
use crate::{
    config::{self, Config, DropIn, Module, WatchMode},
    files::names::is_temporary,
};

/// Bytes of `NAME.toml` at most: the table of one module.
const LONGEST_SETTINGS: u64 = 1 << 20;

/// How the directory as a whole is named among the refused files.
pub(super) const WHOLE: &str = ".";

/// A file that has rested for so many times `settle` has settled, also where nobody has watched it.
const RESTED: u32 = 4;

/// What watching has told about files of the directory: their state when they had settled, or that they are gone.
pub(super) type Settled = HashMap<PathBuf, Option<Fingerprint>>;

/// What is in the directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The modules, by name.
    pub(super) modules: Vec<Module>,
    /// Files that are none.
    pub(super) refused: Vec<RefusedFile>,
    /// Which files are accepted.
    pub(super) acceptance: Option<Acceptance>,
}

/// Looks through the drop-in directory of a configuration, where it has one. `before` are the modules that are dropped now:
/// one whose file or settings are not accepted any more goes on as it is.
pub(super) fn scan(config: &Config, before: &[Module], settled: &Settled) -> Scan {
    let Some(drop_in) = &config.drop_in else { return Scan::default() };
    let (rules, unknown) = Rules::new(drop_in);
    for problem in unknown {
        tracing::warn!(%problem, "an account of [drop_in] is unknown");
    }
    let mut scan = Scanner { config, drop_in, before, settled, rules, found: Scan::default() };
    if let Err(why) = scan.directory() {
        scan.refuse(WHOLE, why);
        scan.go_on(before.iter().cloned());
    }
    let Scanner { mut found, rules, .. } = scan;
    found.modules.sort_by(|one, other| one.name.cmp(&other.name));
    found.acceptance = Some(Arc::new(Mutex::new(rules)));
    found
}

/// Makes the directory, where there is none yet, so that something can be dropped into it.
pub(super) fn make_directory(config: &Config) {
    let Some(drop_in) = &config.drop_in else { return };
    if let Err(error) = fs::create_dir_all(&drop_in.dir) {
        tracing::error!(%error, path = %drop_in.dir.display(), "cannot make the drop-in directory");
    }
}

/// The modules of the drop-in directory as a start would find them, and the files that it would refuse.
#[must_use]
pub fn dropped_modules(config: &Config) -> (Vec<Module>, Vec<RefusedFile>) {
    let Scan { modules, refused, .. } = scan(config, &[], &Settled::new());
    (modules, refused)
}

struct Scanner<'a> {
    config: &'a Config,
    drop_in: &'a DropIn,
    before: &'a [Module],
    settled: &'a Settled,
    rules: Rules,
    found: Scan,
}

impl Scanner<'_> {
    fn refuse(&mut self, file: &str, why: String) {
        self.found.refused.push(RefusedFile { file: file.to_owned(), why });
    }

    /// Keeps modules as they are though their files do not tell what they shall be, but nothing that the configuration does
    /// not allow any more.
    fn go_on(&mut self, modules: impl IntoIterator<Item = Module>) {
        for mut module in modules {
            if !self.is_configured(&module.name) {
                module.links.retain(|link| self.drop_in.links.contains(&link.to));
                self.found.modules.push(module);
            }
        }
    }

    /// Whether a configured module has this name: it wins.
    fn is_configured(&self, name: &str) -> bool {
        self.config.modules.iter().any(|module| *module.name == *name)
    }

    fn directory(&mut self) -> Result<(), String> {
        let dir = &self.drop_in.dir;
        let cannot = |error: io::Error| format!("cannot read directory `{}`: {error}", dir.display());
        let facts = match fs::metadata(dir) {
            Ok(facts) => facts,
            // It is made when the daemon starts; whoever removed it has removed its files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.missing();
                return Ok(());
            }
            Err(error) => return Err(cannot(error)),
        };
        self.rules.check_directory(dir, facts.mode()).map_err(|refusal| refusal.to_string())?;
        let mut names: Vec<_> = fs::read_dir(dir)
            .map_err(cannot)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<_>>()
            .map_err(cannot)?;
        names.sort_unstable();
        let is_wasm =
            |name: &&std::ffi::OsString| Path::new(name).extension() == Some(OsStr::new("wasm")) && !is_temporary(name);
        for name in names.iter().filter(is_wasm) {
            self.file(name);
        }
        self.missing();
        Ok(())
    }

    /// Modules whose file is not there at the moment, but was not told to be gone: it is being replaced.
    fn missing(&mut self) {
        for module in self.before {
            let there = self.found.modules.iter().any(|found| found.name == module.name);
            let told = self.settled.get(&module.path) == Some(&None) || self.config.watch.mode == WatchMode::Off;
            let here = module.path.parent() == Some(&self.drop_in.dir);
            if !there && !told && here && fs::symlink_metadata(&module.path).is_err() {
                self.go_on([module.clone()]);
            }
        }
    }

    fn file(&mut self, file: &OsStr) {
        let shown = file.to_string_lossy().into_owned();
        let name = match module_name(file) {
            Ok(name) => name,
            Err(refusal) => return self.refuse(&shown, refusal.to_string()),
        };
        if self.is_configured(name) {
            return self.refuse(&shown, format!("`modules.{name}` is configured, and what is configured wins"));
        }
        let path = self.drop_in.dir.join(file);
        let before = self.before.iter().find(|module| *module.name == *name && module.path == path).cloned();
        match self.look(&shown, &path) {
            Ok(Some(fingerprint)) if before.is_none() && !self.has_settled(&path, fingerprint) => return,
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(why) => {
                self.refuse(&shown, why);
                // What runs goes on, with the code that it has.
                return self.go_on(before);
            }
        }
        match self.settings(name, &path) {
            Ok(Some(module)) => self.found.modules.push(module),
            // The settings are being written: they are looked at when they are there.
            Ok(None) => self.go_on(before),
            Err(why) => {
                self.refuse(&format!("{name}.toml"), why);
                self.go_on(before);
            }
        }
    }

    /// What the file is now; `None` where nothing is any more.
    fn look(&mut self, shown: &str, path: &Path) -> Result<Option<Fingerprint>, String> {
        let facts = match fs::metadata(path) {
            Ok(facts) => facts,
            Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
                return Ok(None);
            }
            Err(error) => return Err(format!("cannot read it: {error}")),
        };
        if !facts.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        self.accept(shown, path, facts.uid(), facts.mode()).map_err(|refusal| refusal.to_string())?;
        Ok(Some(Fingerprint::of(&facts)))
    }

    fn accept(&mut self, shown: &str, path: &Path, owner: u32, mode: u32) -> Result<(), Refusal> {
        self.rules.check_file(shown, Facts { owner, mode, link_owner: link_owner(path) })
    }

    /// Whether a file that nobody has loaded yet is whole, as far as its rest tells.
    fn has_settled(&self, path: &Path, fingerprint: Fingerprint) -> bool {
        if self.settled.get(path) == Some(&Some(fingerprint)) {
            return true;
        }
        let changed = u64::try_from(fingerprint.ctime_ns.max(fingerprint.mtime_ns)).unwrap_or(0);
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_nanos(changed));
        age.is_ok_and(|age| age >= self.config.watch.settle * RESTED)
    }

    /// The module with the settings that lie beside it; `None` where they are being written.
    fn settings(&mut self, name: &str, wasm: &Path) -> Result<Option<Module>, String> {
        let path = wasm.with_extension("toml");
        let read = match read_settled(&path, LONGEST_SETTINGS) {
            Ok(read) => Some(read),
            Err(ReadError::BeingWritten { .. }) => return Ok(None),
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(crate::host::chain(&error)),
        };
        let Some(read) = read else {
            return config::dropped(name, wasm, None, self.config).map(Some).map_err(|errors| errors.to_string());
        };
        let shown = format!("{name}.toml");
        self.accept(&shown, &path, read.owner, read.mode).map_err(|refusal| refusal.to_string())?;
        let text = String::from_utf8(read.bytes).map_err(|error| format!("it is not UTF-8: {error}"))?;
        config::dropped(name, wasm, Some((&path, &text)), self.config).map(Some).map_err(|errors| errors.to_string())
    }
}
