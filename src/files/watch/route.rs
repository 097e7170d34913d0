//! The way from a path to the file that it means: each place at which a change could make it mean another one.
//!
//! ```text
//!   /etc/app/a.wasm ─▶ ..data/a.wasm      steps: (/etc/app, a.wasm)      a link
//!   /etc/app/..data ─▶ ..2026_1                  (/etc/app, ..data)      a link
//!   /etc/app/..2026_1/a.wasm                     (/etc/app/..2026_1, a.wasm)   the file itself
//! ```

use std::{
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// As many links as the kernel itself follows.
const MOST_LINKS: usize = 40;

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The directory; no part of this path is a link.
    pub(super) directory: PathBuf,
    /// The name in it: a link, the last part of the way, or the part that is missing.
    pub(super) name: OsString,
}

/// Where a path leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// The names that decide, from the first to the last.
    pub(super) steps: Vec<Step>,
    /// What is at the end, by a path without links; `None`: nothing is.
    pub(super) end: Option<PathBuf>,
}

impl Route {
    /// Follows an absolute path, as far as it leads.
    pub(super) fn trace(path: &Path) -> Self {
        let mut route = Self::default();
        let mut here = PathBuf::from("/");
        let mut rest = parts_backwards(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            let name = match part {
                Part::Root => {
                    here = PathBuf::from("/");
                    continue;
                }
                Part::Up => {
                    here.pop();
                    continue;
                }
                Part::Down(name) => name,
            };
            let next = here.join(&name);
            let target = match fs::symlink_metadata(&next) {
                Ok(facts) if facts.is_symlink() => fs::read_link(&next).ok(),
                Ok(_) => {
                    if rest.is_empty() {
                        route.steps.push(Step { directory: here, name });
                    }
                    here = next;
                    continue;
                }
                // Missing, or out of sight: the nearest place at which it could appear is where it stops.
                Err(_) => None,
            };
            route.steps.push(Step { directory: here.clone(), name });
            links += 1;
            match target {
                Some(target) if links <= MOST_LINKS => rest.extend(parts_backwards(&target)),
                _ => return route,
            }
        }
        route.end = Some(here);
        route
    }
}

enum Part {
    Root,
    Up,
    Down(OsString),
}

/// The parts of a path, the last one first.
fn parts_backwards(path: &Path) -> Vec<Part> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::RootDir => Some(Part::Root),
            Component::ParentDir => Some(Part::Up),
            Component::Normal(name) => Some(Part::Down(name.to_owned())),
            Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory whose own path has no links.
    fn directory() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    fn route(root: &Path, path: &str) -> (Vec<(String, String)>, Option<String>) {
        let route = Route::trace(&root.join(path));
        let inner = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let steps = route.steps.iter().map(|step| (inner(&step.directory), step.name.to_str().unwrap().to_owned()));
        (steps.collect(), route.end.map(|end| inner(&end)))
    }

    fn step(directory: &str, name: &str) -> (String, String) {
        (directory.to_owned(), name.to_owned())
    }

    #[test]
    fn a_plain_file_depends_on_its_own_directory() {
        let (_dir, root) = directory();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(root.join("etc/a"), "").unwrap();
        assert_eq!(route(&root, "etc/a"), (vec![step("etc", "a")], Some("etc/a".to_owned())));
        assert_eq!(route(&root, "etc/../etc/./a"), (vec![step("etc", "a")], Some("etc/a".to_owned())));
    }

    #[test]
    fn links_are_followed_wherever_they_are_in_the_path() {
        let (_dir, root) = directory();
        fs::create_dir_all(root.join("app/..1")).unwrap();
        fs::write(root.join("app/..1/a"), "").unwrap();
        symlink("..1", root.join("app/..data")).unwrap();
        symlink("..data/a", root.join("app/a")).unwrap();
        symlink(root.join("app"), root.join("current")).unwrap();
        let expected = vec![step("", "current"), step("app", "a"), step("app", "..data"), step("app/..1", "a")];
        assert_eq!(route(&root, "current/a"), (expected, Some("app/..1/a".to_owned())));
    }

    #[test]
    fn a_path_into_nothing_stops_where_it_could_go_on() {
        let (_dir, root) = directory();
        symlink("gone/deeper", root.join("link")).unwrap();
        assert_eq!(route(&root, "not/yet/there"), (vec![step("", "not")], None));
        assert_eq!(route(&root, "link"), (vec![step("", "link"), step("", "gone")], None));
    }

    #[test]
    fn links_in_a_circle_lead_nowhere() {
        let (_dir, root) = directory();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(Route::trace(&root.join("a")).end, None);
    }
}
