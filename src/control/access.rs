//! Who may do what on the control socket.
//!
//! Every path needs a [`Right`] (`paths.rs`); groups of the system have it (`control.readers`, `control.operators`), and
//! whoever connects is in the groups that the kernel names (`peer.rs`). Where no group is configured, whoever may connect
//! may do everything: the socket's owner, group and mode decide.

use std::{collections::BTreeSet, fmt, fs};

use nix::unistd::Group;
use thiserror::Error;

use super::peer::Peer;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// To see what the daemon says of itself.
    Read,
    /// To call guests, to change anything, and to see what passes between modules.
    Operate,
}

impl Right {
    /// The name that documents use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    /// The key of the configuration that gives it.
    fn key(self) -> &'static str {
        match self {
            Self::Read => "control.readers",
            Self::Operate => "control.operators",
        }
    }
}

/// Who may do what, as the configuration says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Groups whose members may read: names, or numbers as text.
    pub readers: Vec<String>,
    /// Groups whose members may do everything.
    pub operators: Vec<String>,
    /// Users who may always do everything.
    pub trusted: BTreeSet<u32>,
}

impl Default for Grants {
    /// No group; root and the user of this process are trusted.
    fn default() -> Self {
        let trusted = BTreeSet::from([0, rustix::process::geteuid().as_raw()]);
        Self { readers: Vec::new(), operators: Vec::new(), trusted }
    }
}

/// A group that cannot be found.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UnknownGroup {
    /// Nobody has this name.
    #[error("there is no group `{0}`")]
    Missing(String),
    /// The accounts cannot be read.
    #[error("group `{name}` cannot be looked up")]
    Lookup {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: nix::Error,
    },
}

/// The number of a group, given by its name or number. A name comes first: it may consist of digits.
///
/// # Errors
/// [`UnknownGroup`].
pub(super) fn group_number(name: &str) -> Result<u32, UnknownGroup> {
    match (Group::from_name(name), name.parse()) {
        (Ok(Some(group)), _) => Ok(group.gid.as_raw()),
        (_, Ok(number)) => Ok(number),
        (Ok(None), Err(_)) => Err(UnknownGroup::Missing(name.to_owned())),
        (Err(source), Err(_)) => Err(UnknownGroup::Lookup { name: name.to_owned(), source }),
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Denied {
    /// Whoever asks is in none of the groups.
    #[error("user {user} is in no group that may do this: it takes {needed}")]
    NotAMember {
        /// Who asks.
        user: u32,
        /// The groups that would do, and the keys that name them.
        needed: String,
    },
    /// The kernel hides who asks.
    #[error(
        "the daemon cannot tell who asks: the kernel shows it {what} as {id}, as it does for everybody in a unit with \
         PrivateUsers=; `control.readers` and `control.operators` work without that setting only"
    )]
    Hidden {
        /// A user or a group.
        what: &'static str,
        /// The number that stands for all whose own is not known here.
        id: u32,
    },
    /// It is not known who asks.
    #[error("the daemon cannot tell who asks: {0}")]
    Unknown(String),
}

/// The numbers that stand for users and groups which this process cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Overflow {
    user: u32,
    group: u32,
}

impl Overflow {
    /// What the kernel has unless it is told otherwise.
    const USUAL: u32 = 65_534;

    fn of_kernel() -> Self {
        let read = |path| fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        Self {
            user: read("/proc/sys/kernel/overflowuid").unwrap_or(Self::USUAL),
            group: read("/proc/sys/kernel/overflowgid").unwrap_or(Self::USUAL),
        }
    }
}

/// Decides who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// `None`: whoever may connect may do everything.
    rules: Option<Rules>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rules {
    grants: Grants,
    readers: BTreeSet<u32>,
    operators: BTreeSet<u32>,
    overflow: Overflow,
}

impl Access {
    /// Looks the groups up, and says which there are not: those admit nobody.
    pub(super) fn new(grants: Grants) -> (Self, Vec<UnknownGroup>) {
        if grants.readers.is_empty() && grants.operators.is_empty() {
            return (Self { rules: None }, Vec::new());
        }
        let mut unknown = Vec::new();
        let mut numbers = |names: &[String]| {
            let found = names.iter().filter_map(|name| group_number(name).map_err(|error| unknown.push(error)).ok());
            found.collect::<BTreeSet<_>>()
        };
        let (readers, operators) = (numbers(&grants.readers), numbers(&grants.operators));
        (Self { rules: Some(Rules { grants, readers, operators, overflow: Overflow::of_kernel() }) }, unknown)
    }

    /// Whether somebody may do something.
    ///
    /// # Errors
    /// [`Denied`], which says what it takes.
    pub(super) fn check(&self, peer: &Result<Peer, String>, right: Right) -> Result<(), Denied> {
        match (&self.rules, peer) {
            (None, _) => Ok(()),
            (Some(rules), Ok(peer)) => rules.check(peer, right),
            (Some(_), Err(why)) => Err(Denied::Unknown(why.clone())),
        }
    }
}

impl Rules {
    fn check(&self, peer: &Peer, right: Right) -> Result<(), Denied> {
        let Overflow { user, group } = self.overflow;
        // Before all else: it is everybody's number, also that of a daemon that runs as `nobody`.
        if peer.user == user {
            return Err(Denied::Hidden { what: "its user", id: user });
        }
        if self.grants.trusted.contains(&peer.user) {
            return Ok(());
        }
        let is_in = |groups: &BTreeSet<u32>| peer.groups.iter().any(|id| *id != group && groups.contains(id));
        if is_in(&self.operators) || (right == Right::Read && is_in(&self.readers)) {
            Ok(())
        } else if peer.groups.contains(&group) {
            Err(Denied::Hidden { what: "one of its groups", id: group })
        } else {
            Err(Denied::NotAMember { user: peer.user, needed: self.needed(right) })
        }
    }

    /// What would do.
    fn needed(&self, right: Right) -> String {
        let of = |right: Right, names: &[String]| {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            (!names.is_empty()).then(|| format!("{} (`{}`)", names.join(", "), right.key()))
        };
        let readers = (right == Right::Read).then(|| of(Right::Read, &self.grants.readers)).flatten();
        let ways: Vec<String> = readers.into_iter().chain(of(Right::Operate, &self.grants.operators)).collect();
        match ways.as_slice() {
            [] => format!("a group in `{}`, which names none", right.key()),
            ways => format!("membership in {}", ways.join(" or ")),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const DAEMON: u32 = 990;

    fn access(readers: &[&str], operators: &[&str]) -> Access {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let grants = Grants { readers: own(readers), operators: own(operators), trusted: BTreeSet::from([0, DAEMON]) };
        let (access, unknown) = Access::new(grants);
        assert_eq!(unknown, []);
        access
    }

    fn peer(user: u32, groups: &[u32]) -> Result<Peer, String> {
        Ok(Peer { user, groups: groups.to_vec() })
    }

    /// Whether somebody may read, and whether they may operate.
    fn may(access: &Access, peer: &Result<Peer, String>) -> (bool, bool) {
        (access.check(peer, Right::Read).is_ok(), access.check(peer, Right::Operate).is_ok())
    }

    #[test]
    fn whoever_may_connect_may_do_everything_where_no_group_is_named() {
        let open = access(&[], &[]);
        for peer in [peer(1000, &[1000]), peer(65_534, &[65_534]), Err("no idea".to_owned())] {
            assert_eq!(may(&open, &peer), (true, true), "{peer:?}");
        }
    }

    #[test]
    fn readers_read_and_operators_do_everything() {
        let both = access(&["4001"], &["4002"]);
        for (groups, expected) in [
            (&[4001][..], (true, false)),
            (&[4002], (true, true)),
            (&[1000, 4001], (true, false)),
            (&[1000, 4001, 4002], (true, true)),
            (&[1000], (false, false)),
            (&[], (false, false)),
        ] {
            assert_eq!(may(&both, &peer(1000, groups)), expected, "{groups:?}");
        }
        // One list alone leaves the other's right to root and the daemon's user.
        assert_eq!(may(&access(&["4001"], &[]), &peer(1000, &[4001])), (true, false));
        assert_eq!(may(&access(&[], &["4002"]), &peer(1000, &[4001])), (false, false));
        assert_eq!(may(&access(&[], &["4002"]), &peer(1000, &[4002])), (true, true));
    }

    #[test]
    fn root_and_the_daemons_own_user_may_always_do_everything() {
        let access = access(&["4001"], &[]);
        assert_eq!(may(&access, &peer(0, &[0])), (true, true));
        assert_eq!(may(&access, &peer(DAEMON, &[])), (true, true));
        // A group's number is nobody's user.
        assert_eq!(may(&access, &peer(4001, &[1000])), (false, false));
    }

    #[test]
    fn whom_the_kernel_hides_is_denied_by_a_message_that_names_the_setting() {
        let access = access(&["65534", "4001"], &["65534"]);
        for (peer, what) in
            [(peer(65_534, &[4001]), "its user as 65534"), (peer(1000, &[65_534]), "one of its groups as 65534")]
        {
            let denied = access.check(&peer, Right::Read).unwrap_err().to_string();
            assert!(denied.contains(what) && denied.contains("PrivateUsers="), "{denied}");
        }
        assert_eq!(may(&access, &peer(1000, &[65_534, 4001])), (true, false), "what is known counts");
        let trusted = Grants { readers: vec!["4001".into()], operators: vec![], trusted: BTreeSet::from([65_534]) };
        assert_eq!(may(&Access::new(trusted).0, &peer(65_534, &[])), (false, false), "a daemon that runs as nobody");
        let denied = access.check(&Err("no credentials".into()), Right::Read).unwrap_err();
        assert_eq!(denied.to_string(), "the daemon cannot tell who asks: no credentials");
    }

    #[test]
    fn a_refusal_says_what_it_takes() {
        let denied = |access: &Access, right| access.check(&peer(1000, &[1000]), right).unwrap_err().to_string();
        let start = "user 1000 is in no group that may do this: it takes ";
        let both = access(&["4001", "4003"], &["4002"]);
        for (access, right, needed) in [
            (&both, Right::Read, "membership in `4001`, `4003` (`control.readers`) or `4002` (`control.operators`)"),
            (&both, Right::Operate, "membership in `4002` (`control.operators`)"),
            (&access(&["4001"], &[]), Right::Operate, "a group in `control.operators`, which names none"),
            (&access(&[], &["4002"]), Right::Read, "membership in `4002` (`control.operators`)"),
        ] {
            assert_eq!(denied(access, right), format!("{start}{needed}"));
        }
    }

    #[test]
    fn a_group_that_there_is_not_is_told_and_admits_nobody() {
        let grants = Grants { operators: vec!["no such group".into(), "4002".into()], ..Grants::default() };
        let (access, unknown) = Access::new(grants);
        assert_eq!(unknown, [UnknownGroup::Missing("no such group".into())]);
        assert_eq!(may(&access, &peer(1, &[1])), (false, false));
        assert_eq!(may(&access, &peer(1, &[4002])), (true, true));
        assert_eq!(group_number("root"), Ok(0));
    }
}
