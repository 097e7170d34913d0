//! Lists the objects below a directory in the order of their names, a page at a time.
//!
//! A directory gives its entries in no order, so each page reads all entries of the directories in which it has something:
//! the time for a page grows with the entries of these directories, not with the objects below others. Memory does not: of
//! each directory on the way down only the first entries are kept that are still wanted, as many as the page has room for.

use std::{
    collections::BinaryHeap,
    io,
    os::fd::OwnedFd,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};

use super::{mark, tree::absent};
use crate::bindings::blob::{
    name::{MAX_PARTS, Name},
    store::{Entry, Listed, Page, millis},
};

/// Lists from a directory whose objects' names all begin with `base`.
pub(super) fn page(directory: &OwnedFd, base: &str, page: &Page) -> io::Result<Listed> {
    let mut walk = Walk { page, found: Vec::new() };
    walk.visit(directory, base)?;
    let Walk { mut found, .. } = walk;
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next = found.last().filter(|_| more).map(|last| last.name.clone());
    Ok(Listed { objects: found, next })
}

struct Walk<'p> {
    page: &'p Page,
    /// Up to one more than the page has room for, which tells that there is more.
    found: Vec<Entry>,
}

/// An entry of a directory, by the text in which it sorts: its part of the name, a directory's with the `/` behind it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    key: String,
    is_directory: bool,
}

impl Walk<'_> {
    fn wanted(&self) -> usize {
        (self.page.limit + 1).saturating_sub(self.found.len())
    }

    fn visit(&mut self, directory: &OwnedFd, base: &str) -> io::Result<()> {
        let mut after = None;
        loop {
            let wanted = self.wanted();
            let entries = self.first_entries(directory, base, after.as_deref(), wanted)?;
            let last = entries.len() < wanted;
            after = entries.last().map(|entry| entry.key.clone());
            for Found { key, is_directory } in entries {
                match is_directory {
                    true => self.enter(directory, base, &key)?,
                    false => self.found.extend(object(directory, base, &key)?),
                }
                if self.wanted() == 0 {
                    return Ok(());
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    fn enter(&mut self, directory: &OwnedFd, base: &str, key: &str) -> io::Result<()> {
        let name = mark::directory(key.strip_suffix('/').unwrap_or(key));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match absent(fs::openat(directory, &*name, flags, Mode::empty()).map_err(Into::into))? {
            Some(directory) => self.visit(&directory, &format!("{base}{key}")),
            None => Ok(()),
        }
    }

    /// The first entries behind one, in their order, that have to do with the page.
    fn first_entries(
        &self,
        directory: &OwnedFd,
        base: &str,
        after: Option<&str>,
        at_most: usize,
    ) -> io::Result<Vec<Found>> {
        let mut first = BinaryHeap::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let found = match kind(directory, name, entry.file_type())? {
                Some(FileType::RegularFile) => {
                    mark::part_of_file(name).map(|part| Found { key: part.to_owned(), is_directory: false })
                }
                Some(FileType::Directory) => {
                    mark::part_of_directory(name).map(|part| Found { key: format!("{part}/"), is_directory: true })
                }
                _ => None,
            };
            let Some(found) = found.filter(|found| after.is_none_or(|after| &*found.key > after)) else { continue };
            let last_is_less = || first.peek().is_some_and(|last| *last <= found);
            if (first.len() == at_most && last_is_less()) || !self.concerns(base, &found) {
                continue;
            }
            first.push(found);
            if first.len() > at_most {
                first.pop();
            }
        }
        Ok(first.into_sorted_vec())
    }

    /// Whether an object, or what may be below a directory, is on the page or behind it.
    fn concerns(&self, base: &str, found: &Found) -> bool {
        let (prefix, after) = (&*self.page.prefix, &*self.page.after);
        let name = format!("{base}{}", found.key);
        match name.strip_suffix('/') {
            None => name.starts_with(prefix) && *name > *after && Name::is_one(&name),
            Some(parts) => {
                (name.starts_with(prefix) || prefix.starts_with(&name))
                    && (*name > *after || after.starts_with(&name))
                    && Name::is_one(parts)
                    && parts.split('/').count() < MAX_PARTS
            }
        }
    }
}

/// What an entry is, which some file systems do not say at once.
fn kind(directory: &OwnedFd, name: &str, told: FileType) -> io::Result<Option<FileType>> {
    if told != FileType::Unknown {
        return Ok(Some(told));
    }
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// An object, where it is still there.
fn object(directory: &OwnedFd, base: &str, part: &str) -> io::Result<Option<Entry>> {
    let stat = match fs::statat(directory, &*mark::file(part), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    let nanos = Duration::from_nanos(stat.st_mtime_nsec);
    let modified = millis(SystemTime::UNIX_EPOCH + seconds + nanos);
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    Ok(Some(Entry { name: format!("{base}{part}"), size, modified }))
}
