//! Users and groups: a name's number, and the groups that a user is in.

use std::{collections::BTreeSet, ffi::CString};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use thiserror::Error;

/// Users and groups, as the system knows them.
pub(in crate::supervisor) trait Accounts {
    /// The number of the user of this name.
    ///
    /// # Errors
    /// When the accounts cannot be read.
    fn user(&self, name: &str) -> nix::Result<Option<u32>>;
    /// The number of the group of this name.
    ///
    /// # Errors
    /// When the accounts cannot be read.
    fn group(&self, name: &str) -> nix::Result<Option<u32>>;
    /// The name of a user and the numbers of all groups that they are in; `None` where the number has no account.
    ///
    /// # Errors
    /// When the accounts cannot be read.
    fn membership(&self, user: u32) -> nix::Result<Option<(String, BTreeSet<u32>)>>;
}

/// The accounts of this system.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct SystemAccounts;

impl Accounts for SystemAccounts {
    fn user(&self, name: &str) -> nix::Result<Option<u32>> {
        Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
    }

    fn group(&self, name: &str) -> nix::Result<Option<u32>> {
        Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
    }

    fn membership(&self, user: u32) -> nix::Result<Option<(String, BTreeSet<u32>)>> {
        let Some(user) = User::from_uid(Uid::from_raw(user))? else { return Ok(None) };
        // The user's own group is among them.
        let groups = match CString::new(user.name.as_str()) {
            Ok(name) => getgrouplist(&name, user.gid)?,
            // Such a name cannot be asked for.
            Err(_) => vec![user.gid],
        };
        Ok(Some((user.name, groups.into_iter().map(Gid::as_raw).collect())))
    }
}

/// A name in the configuration that no account has. It accepts nobody.
#[derive(Debug, Error, PartialEq, Eq)]
pub(in crate::supervisor) enum UnknownAccount {
    /// There is no such user.
    #[error("`drop_in.owners` names user `{name}`: there is none; its files are not accepted")]
    User {
        /// The name.
        name: String,
    },
    /// There is no such group.
    #[error("`drop_in.groups` names group `{name}`: there is none; files of its members are not accepted")]
    Group {
        /// The name.
        name: String,
    },
    /// The accounts cannot be read.
    #[error("`drop_in` names `{name}`, which cannot be looked up: {why}")]
    Lookup {
        /// The name.
        name: String,
        /// Why not.
        why: nix::Error,
    },
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_system_knows_root() {
        assert_eq!(SystemAccounts.user("root"), Ok(Some(0)));
        assert_eq!(SystemAccounts.group("root"), Ok(Some(0)));
        let (name, groups) = SystemAccounts.membership(0).unwrap().unwrap();
        assert_eq!(name, "root");
        assert!(groups.contains(&0));
        assert_eq!(SystemAccounts.user("no user has this name"), Ok(None));
    }
}
