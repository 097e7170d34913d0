//! Whether a file of the drop-in directory is accepted: by its name, its owner and who may write it.
//!
//! Whoever may put code into the directory decides what the daemon runs. So a file counts only if its owner is trusted,
//! and if nobody else can have written it. The rules are plain values; accounts are looked up through `Accounts`, when
//! the rules are made and once for each owner of a file, and new rules ask anew.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    path::Path,
};

use crate::config::{DropIn, check_name};

mod accounts;
mod refusal;

use self::accounts::{Accounts, SystemAccounts, UnknownAccount};
pub(super) use self::refusal::Refusal;

/// Permission bit: others may write.
const OTHERS_WRITE: u32 = 0o002;

/// Permission bit of a directory: only the owner of an entry may remove or rename it.
const STICKY: u32 = 0o1000;

/// What is known of a file without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// The number of the user that it belongs to.
    pub(super) owner: u32,
    /// Type and permission bits.
    pub(super) mode: u32,
    /// Where the entry of the directory is a link: the number of the user that the link belongs to. Otherwise they could
    /// give the daemon a file of root that was never meant for it.
    pub(super) link_owner: Option<u32>,
}

/// The name of a module that a file gives, if it may.
///
/// # Errors
/// When it is no name of a module.
pub(super) fn module_name(file: &OsStr) -> Result<&str, Refusal> {
    let name = Path::new(file).file_stem().and_then(OsStr::to_str);
    name.filter(|name| check_name(name).is_ok())
        .ok_or_else(|| Refusal::Name { file: file.to_string_lossy().into_owned() })
}

/// Who is trusted. Made anew by each reload, because accounts change.
#[derive(Debug)]
pub(super) struct Rules<A = SystemAccounts> {
    accounts: A,
    /// Users whose files are accepted.
    owners: BTreeSet<u32>,
    /// Groups whose members' files are accepted.
    groups: BTreeSet<u32>,
    /// Who that is, in words.
    accepted: String,
    /// Whether owners and permissions do not matter.
    unsafe_too: bool,
    /// Owners of files that were met: who they are, and whether they are trusted.
    known: HashMap<u32, (String, bool)>,
}

impl Rules {
    /// Makes the rules of `[drop_in]`, and says which names in it are unknown.
    pub(super) fn new(drop_in: &DropIn) -> (Self, Vec<UnknownAccount>) {
        Self::with(SystemAccounts, drop_in, rustix::process::geteuid().as_raw())
    }
}

impl<A: Accounts> Rules<A> {
    fn with(accounts: A, drop_in: &DropIn, daemon: u32) -> (Self, Vec<UnknownAccount>) {
        let mut problems = Vec::new();
        let mut number = |name: &String, found: nix::Result<Option<u32>>, unknown: fn(String) -> UnknownAccount| {
            // An account's name comes first: it may consist of digits.
            match (found, name.parse()) {
                (Ok(Some(number)), _) | (_, Ok(number)) => return Some(number),
                (Ok(None), Err(_)) => problems.push(unknown(name.clone())),
                (Err(why), Err(_)) => problems.push(UnknownAccount::Lookup { name: name.clone(), why }),
            }
            None
        };
        let mut owners: BTreeSet<u32> = drop_in
            .owners
            .iter()
            .filter_map(|name| number(name, accounts.user(name), |name| UnknownAccount::User { name }))
            .collect();
        owners.extend([0, daemon]);
        let groups = drop_in
            .groups
            .iter()
            .filter_map(|name| number(name, accounts.group(name), |name| UnknownAccount::Group { name }))
            .collect();
        let mut accepted = vec![format!("the daemon's user ({daemon})"), "root".to_owned()];
        accepted.extend(drop_in.owners.iter().map(|name| format!("user `{name}`")));
        accepted.extend(drop_in.groups.iter().map(|name| format!("members of group `{name}`")));
        let unsafe_too = drop_in.allow_unsafe_permissions;
        let accepted = accepted.join(", ");
        (Self { accounts, owners, groups, accepted, unsafe_too, known: HashMap::new() }, problems)
    }

    /// Checks the directory itself, by its permission bits.
    ///
    /// # Errors
    /// When everybody may replace files in it.
    pub(super) fn check_directory(&self, directory: &Path, mode: u32) -> Result<(), Refusal> {
        let replaceable = mode & OTHERS_WRITE != 0 && mode & STICKY == 0;
        if replaceable && !self.unsafe_too {
            return Err(Refusal::Directory { directory: directory.to_owned(), mode: mode & 0o7777 });
        }
        Ok(())
    }

    /// Checks a file by its owner and permission bits.
    ///
    /// # Errors
    /// When its owner is not trusted, or everybody may write it.
    pub(super) fn check_file(&mut self, file: &str, facts: Facts) -> Result<(), Refusal> {
        if self.unsafe_too {
            return Ok(());
        }
        let file = file.to_owned();
        let (owner, trusted) = self.owner(facts.owner);
        if !trusted {
            return Err(Refusal::Owner { file, owner, accepted: self.accepted.clone() });
        }
        if facts.mode & OTHERS_WRITE != 0 {
            return Err(Refusal::Writable { file, owner, mode: facts.mode & 0o7777 });
        }
        if let Some((owner, false)) = facts.link_owner.map(|owner| self.owner(owner)) {
            return Err(Refusal::LinkOwner { file, owner, accepted: self.accepted.clone() });
        }
        Ok(())
    }

    /// Who a user is, in words, and whether they are trusted.
    fn owner(&mut self, user: u32) -> (String, bool) {
        let Self { accounts, owners, groups, known, .. } = self;
        let owner = known.entry(user).or_insert_with(|| match accounts.membership(user) {
            Ok(Some((name, member_of))) => {
                (format!("user `{name}` ({user})"), owners.contains(&user) || !groups.is_disjoint(&member_of))
            }
            // Without an account they are in no group.
            Ok(None) => (format!("user {user}, who has no account"), owners.contains(&user)),
            Err(why) => (format!("user {user}, who cannot be looked up ({why})"), owners.contains(&user)),
        });
        owner.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DAEMON: u32 = 990;

    /// ada (1000) is in group ada, and in the groups dev (50) and wheel (10); bob (1001) has dev as his own group; eve
    /// (1002) is in none; `12` is the name of user 4712.
    #[derive(Debug)]
    struct Fake;

    impl Accounts for Fake {
        fn user(&self, name: &str) -> nix::Result<Option<u32>> {
            match name {
                "broken" => Err(nix::Error::EIO),
                _ => Ok([("ada", 1000), ("bob", 1001), ("eve", 1002), ("12", 4712)]
                    .into_iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, number)| number)),
            }
        }

        fn group(&self, name: &str) -> nix::Result<Option<u32>> {
            Ok([("dev", 50), ("wheel", 10)].into_iter().find(|(known, _)| *known == name).map(|(_, number)| number))
        }

        fn membership(&self, user: u32) -> nix::Result<Option<(String, BTreeSet<u32>)>> {
            match user {
                0 => Ok(Some(("root".to_owned(), BTreeSet::from([0])))),
                1000 => Ok(Some(("ada".to_owned(), BTreeSet::from([1000, 50, 10])))),
                1001 => Ok(Some(("bob".to_owned(), BTreeSet::from([50])))),
                1002 => Ok(Some(("eve".to_owned(), BTreeSet::from([1002])))),
                DAEMON => Err(nix::Error::EIO),
                _ => Ok(None),
            }
        }
    }

    fn drop_in(owners: &[&str], groups: &[&str]) -> DropIn {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        DropIn {
            dir: "/var/lib/wapcd/modules".into(),
            links: Vec::new(),
            owners: names(owners),
            groups: names(groups),
            allow_unsafe_permissions: false,
        }
    }

    fn rules(owners: &[&str], groups: &[&str]) -> Rules<Fake> {
        let (rules, problems) = Rules::with(Fake, &drop_in(owners, groups), DAEMON);
        assert_eq!(problems, []);
        rules
    }

    fn facts(owner: u32, mode: u32) -> Facts {
        Facts { owner, mode: 0o100_000 | mode, link_owner: None }
    }

    #[test]
    fn owners_are_trusted_by_name_by_number_and_by_membership() {
        type Names = &'static [&'static str];
        let table: &[(Names, Names, u32, bool)] = &[
            (&[], &[], 0, true),
            (&[], &[], DAEMON, true),
            (&[], &[], 1000, false),
            (&["ada"], &[], 1000, true),
            (&["ada"], &[], 1001, false),
            (&["1001"], &[], 1001, true),
            (&["5000"], &[], 5000, true),
            (&["12"], &[], 4712, true),
            (&["12"], &[], 12, false),
            (&[], &["dev"], 1000, true),
            (&[], &["dev"], 1001, true),
            (&[], &["dev"], 1002, false),
            (&[], &["10"], 1000, true),
            (&[], &["wheel"], 1001, false),
            (&[], &["dev"], 5000, false),
            (&["eve"], &["dev"], 1002, true),
        ];
        for (owners, groups, owner, accepted) in table {
            let result = rules(owners, groups).check_file("a.wasm", facts(*owner, 0o644));
            assert_eq!(result.is_ok(), *accepted, "{owners:?} {groups:?} {owner}: {result:?}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_write_is_refused_whoever_owns_it() {
        for (mode, accepted) in
            [(0o644, true), (0o600, true), (0o664, true), (0o666, false), (0o602, false), (0o000, true)]
        {
            assert_eq!(rules(&[], &[]).check_file("a.wasm", facts(0, mode)).is_ok(), accepted, "{mode:o}");
        }
    }

    #[test]
    fn a_link_counts_for_its_own_owner_too() {
        for (link_owner, accepted) in [(None, true), (Some(0), true), (Some(1000), true), (Some(1002), false)] {
            let facts = Facts { link_owner, ..facts(0, 0o644) };
            assert_eq!(rules(&["ada"], &[]).check_file("a.wasm", facts).is_ok(), accepted, "{link_owner:?}");
        }
    }

    #[test]
    fn a_directory_in_which_everybody_may_replace_files_is_refused() {
        let table = [(0o40755, true), (0o40775, true), (0o40777, false), (0o41777, true), (0o40702, false)];
        for (mode, accepted) in table {
            assert_eq!(rules(&[], &[]).check_directory(Path::new("/m"), mode).is_ok(), accepted, "{mode:o}");
        }
    }

    #[test]
    fn unsafe_permissions_are_accepted_where_that_is_allowed() {
        let drop_in = DropIn { allow_unsafe_permissions: true, ..drop_in(&[], &[]) };
        let (mut rules, _) = Rules::with(Fake, &drop_in, DAEMON);
        assert_eq!(rules.check_file("a.wasm", Facts { link_owner: Some(1002), ..facts(1002, 0o666) }), Ok(()));
        assert_eq!(rules.check_directory(Path::new("/m"), 0o777), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_file_its_owner_and_what_would_be_accepted() {
        let mut rules = rules(&["ada", "5000"], &["dev"]);
        let reason = |result: Result<(), Refusal>| result.unwrap_err().to_string();
        assert_eq!(
            reason(rules.check_file("a.wasm", facts(1002, 0o644))),
            "file `a.wasm` belongs to user `eve` (1002); accepted are files of the daemon's user (990), root, user `ada`, \
             user `5000`, members of group `dev`"
        );
        assert_eq!(
            reason(rules.check_file("a.wasm", facts(1000, 0o666))),
            "file `a.wasm` of user `ada` (1000) can be written by everybody (mode 0666); accepted after `chmod o-w`"
        );
        assert_eq!(
            reason(rules.check_directory(Path::new("/m"), 0o40777)),
            "everybody can replace files in directory `/m` (mode 0777): none of them is accepted before `chmod o-w` or \
             `chmod +t`"
        );
        let stranger = reason(rules.check_file("a.wasm", facts(7, 0o644)));
        assert!(stranger.contains("user 7, who has no account"), "{stranger}");
    }

    #[test]
    fn unknown_names_are_problems_and_accept_nobody() {
        let (mut rules, problems) =
            Rules::with(Fake, &drop_in(&["ada", "nobody-here", "broken"], &["no-group"]), DAEMON);
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "`drop_in.owners` names user `nobody-here`: there is none; its files are not accepted",
                "`drop_in` names `broken`, which cannot be looked up: EIO: I/O error",
                "`drop_in.groups` names group `no-group`: there is none; files of its members are not accepted",
            ]
        );
        assert!(rules.check_file("a.wasm", facts(1000, 0o644)).is_ok());
        assert!(rules.check_file("a.wasm", facts(1002, 0o644)).is_err());
    }

    #[test]
    fn the_daemons_own_user_is_trusted() {
        let (mut rules, problems) = Rules::new(&drop_in(&[], &[]));
        assert_eq!(problems, []);
        assert_eq!(rules.check_file("a.wasm", facts(rustix::process::geteuid().as_raw(), 0o644)), Ok(()));
    }

    #[test]
    fn names_of_modules_are_short_and_plain() {
        let longest = "a".repeat(64);
        for name in ["a", "orders", "a-b_c-9", "0", longest.as_str()] {
            for ending in ["wasm", "toml"] {
                assert_eq!(module_name(OsStr::new(&format!("{name}.{ending}"))), Ok(name));
            }
        }
        let too_long = "a".repeat(65);
        for name in ["", "A", "a b", "a.b", "ä", "a/b", "..", "a\n", "a:b", too_long.as_str()] {
            let file = format!("{name}.wasm");
            if !file.contains('/') {
                let refusal = module_name(OsStr::new(&file)).unwrap_err();
                assert!(refusal.to_string().contains(&file), "{refusal}");
            }
        }
    }
}
