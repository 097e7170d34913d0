//! `include`: which files belong to a configuration besides the one that was named. Lists directories; what is in the files
//! is read as the main file is.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern as NamePattern};

use super::{
    bounds,
    error::{ConfigErrorKind, ConfigErrors},
    files,
    reader::{Node, Problem, Section},
    size::Size,
};

/// What makes a name a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];
/// What an entry of the list is, for those who wrote something else.
const EXPECTED: &str = "a file or a pattern of files, such as \"conf.d/*.toml\"";
/// Bytes of all included files together: four times the longest single one, which fills no machine's memory.
const MOST_TEXT: usize = 64 << 20;
/// As in a shell: `*` does not find `.hidden.toml`, which is where editors put their unfinished copies.
const MATCHING: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// One entry of `include`.
pub(super) struct Pattern<'d> {
    node: Node<'d>,
    text: &'d str,
    /// Which names; `None`: the text is the path of one file.
    names: Option<NamePattern>,
}

impl<'d> Pattern<'d> {
    /// The entry as it is written.
    pub(super) fn text(&self) -> &'d str {
        self.text
    }

    fn directory(&self) -> &'d Path {
        Path::new(self.text).parent().unwrap_or(Path::new(""))
    }
}

/// A file that is included.
pub(super) struct Included {
    /// Its path as problems name it: relative where the main file was named by a relative path.
    pub(super) named: PathBuf,
    /// Its path; absolute.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: Result<String, ConfigErrors>,
}

/// Reads the key; entries with a problem are left out.
pub(super) fn read<'d>(root: &Section<'d>) -> Vec<Pattern<'d>> {
    let items = root.or("include", Vec::new(), |node| node.list("a list of files, such as [\"conf.d/*.toml\"]"));
    if let Some(one_more) = items.get(bounds::INCLUDES) {
        one_more.problem::<()>(Problem {
            kind: ConfigErrorKind::OutOfRange,
            found: format!("a list of {} files and patterns", items.len()),
            expected: format!("at most {}", bounds::INCLUDES),
            hint: Some("a pattern such as \"conf.d/*.toml\" stands for many files".to_owned()),
        });
        return Vec::new();
    }
    items.into_iter().filter_map(pattern).collect()
}

fn pattern(node: Node<'_>) -> Option<Pattern<'_>> {
    let text = node.text_without_nul(EXPECTED)?;
    let (directory, name) = text.rsplit_once('/').unwrap_or(("", text));
    let bad = |hint: &str| node.bad(ConfigErrorKind::BadValue, EXPECTED, Some(hint.to_owned()));
    if name.is_empty() || name == "." || name == ".." {
        return if text.is_empty() {
            bad("an empty path")
        } else {
            bad("for all files of a directory write \"DIR/*.toml\"")
        };
    }
    if directory.contains(WILDCARDS) {
        return bad("only the last part of a path can be a pattern");
    }
    if name.contains("**") {
        return bad("directories below are not searched: write a single *");
    }
    let names = if name.contains(WILDCARDS) {
        match NamePattern::new(name) {
            Ok(names) => Some(names),
            Err(error) => return bad(error.msg),
        }
    } else {
        None
    };
    Some(Pattern { text, names, node })
}

/// Finds and reads the files, in the order of the patterns and then of their names, each once; the main file is none of them.
pub(super) fn find(patterns: &[Pattern<'_>], named: &Path, source: &Path) -> Vec<Included> {
    let mut seen: HashSet<(u64, u64)> = identity(source).into_iter().collect();
    let mut included = Vec::new();
    let mut bytes = 0;
    for pattern in patterns {
        for file in pattern.files(source).unwrap_or_default() {
            let path = source.with_file_name("").join(&file);
            if identity(&path).is_some_and(|identity| !seen.insert(identity)) {
                continue;
            }
            let named = named.with_file_name("").join(&file);
            let text = files::read(&named, &path);
            bytes += text.as_ref().map_or(0, String::len);
            included.push(Included { named, path, text });
            if included.len() > bounds::INCLUDED_FILES || bytes > MOST_TEXT {
                pattern.node.problem::<()>(too_many());
                return included;
            }
        }
    }
    included
}

impl Pattern<'_> {
    /// The files that are meant, relative to the directory of the main file. A problem is noted.
    fn files(&self, source: &Path) -> Option<Vec<PathBuf>> {
        let Some(names) = &self.names else {
            return self.one_file(source);
        };
        let directory = source.with_file_name("").join(self.directory());
        match matching(&directory, names) {
            Ok(Some(mut found)) => {
                found.sort_unstable();
                Some(found.into_iter().map(|name| self.directory().join(name)).collect())
            }
            Ok(None) => self.node.problem(too_many()),
            // What comes later finds its directory then.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => self.node.problem(Problem {
                kind: ConfigErrorKind::File,
                found: format!("the directory `{}`, which cannot be read ({error})", directory.display()),
                expected: "a directory with configuration files".to_owned(),
                hint: None,
            }),
        }
    }

    fn one_file(&self, source: &Path) -> Option<Vec<PathBuf>> {
        let path = source.with_file_name("").join(self.text);
        let problem = |found: String, hint: &str| {
            self.node.problem(Problem {
                kind: ConfigErrorKind::File,
                found,
                expected: "a configuration file beside this one".to_owned(),
                hint: Some(hint.to_owned()),
            })
        };
        match identity(&path) {
            None => problem(
                format!("`{}`, which does not exist or cannot be reached", path.display()),
                "a pattern such as \"conf.d/*.toml\" may find nothing, a name must find its file",
            ),
            own if own == identity(source) => {
                problem(format!("`{}`, which is this very file", path.display()), "a file cannot include itself")
            }
            _ => Some(vec![PathBuf::from(self.text)]),
        }
    }
}

/// The names in a directory that match; `None` where they are too many.
fn matching(directory: &Path, names: &NamePattern) -> io::Result<Option<Vec<PathBuf>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if names.matches_with(&name.to_string_lossy(), MATCHING) {
            found.push(PathBuf::from(name));
        }
        if found.len() > bounds::INCLUDED_FILES {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// What is the same for all paths of one file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    // Why a file cannot be reached is told when it is read.
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn too_many() -> Problem {
    Problem {
        kind: ConfigErrorKind::OutOfRange,
        found: "more files than a configuration may have".to_owned(),
        expected: format!(
            "at most {} included files of at most {} together",
            bounds::INCLUDED_FILES,
            Size::new(MOST_TEXT as u64)
        ),
        hint: None,
    }
}
