//! Groups: what is accepted and what it becomes, and every mistake with its place and words.

use std::time::Duration;

use super::{
    super::{Group, Member, Strategy},
    bad, good,
    mistakes::{Mistake, expect_with},
};

/// Modules and bindings to make groups of.
const CHILDREN: &str = "bindings.kv.type = \"keyvalue\"\nbindings.lines.type = \"log\"\nbindings.both.type = \"keyvalue\"\n\
                        modules.a.path = \"a\"\nmodules.b.path = \"b\"\nmodules.both.path = \"c\"\n";

fn expect(mistakes: &[Mistake<'_>]) {
    expect_with(CHILDREN, mistakes);
}

fn groups(text: &str) -> Vec<Group> {
    good(&format!("{CHILDREN}{text}")).groups
}

fn members(text: &str) -> Vec<Member> {
    groups(&format!("[groups.g]\nmembers = {text}\n[groups.inner]\nmembers = [\"b\"]\n")).swap_remove(0).members
}

#[test]
fn a_group_that_only_names_its_members_has_the_defaults_of_otp() {
    let group = groups("[groups.g]\nmembers = [\"a\"]\n").remove(0);
    assert_eq!(group, Group { members: vec![Member::Module("a".into())], ..Group::with_defaults("g") });
    assert_eq!((group.strategy, group.intensity, group.period), (Strategy::OneForOne, 1, Duration::from_secs(5)));
    assert_eq!((group.retry_failed, group.critical), (Some(Duration::from_secs(60)), false));
}

#[test]
fn every_key_of_a_group_arrives_and_groups_keep_the_order_of_the_file() {
    let text = "[groups.z]\nmembers = [\"kv\", \"a\", \"y\"]\nstrategy = \"rest_for_one\"\nintensity = 0\nperiod = \"1m\"\n\
                retry_failed = \"never\"\ncritical = true\n\
                [groups.y]\nmembers = [\"b\"]\nstrategy = \"one_for_all\"\ncritical = true\n";
    let found = groups(text);
    let z = Group {
        name: "z".into(),
        strategy: Strategy::RestForOne,
        members: vec![Member::Binding("kv".into()), Member::Module("a".into()), Member::Group("y".into())],
        intensity: 0,
        period: Duration::from_secs(60),
        retry_failed: None,
        critical: true,
    };
    let y = Group {
        strategy: Strategy::OneForAll,
        members: vec![Member::Module("b".into())],
        critical: true,
        ..Group::with_defaults("y")
    };
    assert_eq!(found, [z, y]);
}

#[test]
fn a_member_is_named_plainly_or_with_its_section() {
    let (a, kv, inner) = (Member::Module("a".into()), Member::Binding("kv".into()), Member::Group("inner".into()));
    let all = [kv, a, inner];
    assert_eq!(members("[\"kv\", \"a\", \"inner\"]"), all);
    assert_eq!(members("[\"bindings.kv\", \"modules.a\", \"groups.inner\"]"), all);
    let both = [Member::Binding("both".into()), Member::Module("both".into())];
    assert_eq!(members("[\"bindings.both\", \"modules.both\"]"), both);
}

#[test]
fn a_module_with_the_name_of_an_undeclared_binding_is_meant_by_it() {
    let config = good("[modules.log]\npath = \"a\"\n[groups.g]\nmembers = [\"log\"]\n");
    assert_eq!(config.groups[0].members, [Member::Module("log".into())]);
}

#[test]
fn defaults_are_silently_overruled_by_a_group_and_what_stays_the_members_own_may_be_written() {
    let text = "[defaults.restart]\nintensity = 9\nperiod = \"9s\"\nretry_failed = \"9s\"\n\
                [modules.m]\npath = \"m\"\nrestart = { type = \"transient\", reset_on_success = false, backoff = { max = \"9s\" } }\n\
                [bindings.k]\ntype = \"keyvalue\"\nrestart.backoff.max = \"8s\"\n\
                [groups.g]\nmembers = [\"k\", \"m\"]\n";
    let config = good(text);
    assert_eq!(config.groups[0], Group { members: config.groups[0].members.clone(), ..Group::with_defaults("g") });
    assert_eq!(config.modules[0].restart.backoff.max, Duration::from_secs(9));
    assert_eq!(config.bindings[0].restart.backoff.max, Duration::from_secs(8));
}

#[test]
fn a_module_stands_after_its_bindings_and_a_lazy_one_anywhere() {
    let linked = |extra: &str| format!("[modules.m]\npath = \"m\"\nlinks = [\"kv\", \"log\"]\n{extra}");
    let first = "[groups.g]\nstrategy = \"one_for_all\"\nmembers = [\"m\", \"kv\"]\n";
    let last = "[groups.g]\nmembers = [\"inner\", \"m\"]\n[groups.inner]\nmembers = [\"kv\"]\n";
    groups(&format!("{}{first}", linked("lazy = true\n")));
    groups(&format!("{}{last}", linked("")));
    // Bindings outside of groups come before all groups, modules outside of them after all.
    groups(&format!("{}[groups.g]\nmembers = [\"m\"]\n", linked("")));
    groups(&format!("{}[groups.g]\nmembers = [\"kv\"]\n", linked("")));
}

#[test]
fn groups_nest_sixteen_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let outer = (1..depth).map(|at| format!("[groups.g{at}]\nmembers = [\"g{}\"]\n", at + 1)).collect::<String>();
        format!("{CHILDREN}{outer}[groups.g{depth}]\nmembers = [\"a\"]\n")
    };
    assert_eq!(good(&nested(16)).groups.len(), 16);
    for depth in [17, 40, 5_000] {
        let errors = bad(&nested(depth));
        let paths: Vec<&str> = errors.iter().map(|error| error.key_path.as_str()).collect();
        assert_eq!(paths, ["groups.g16.members[0]"], "{errors}");
        assert!(errors.to_string().contains("at most 16 deep"), "{errors}");
    }
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn members_that_are_nobody_or_anybody_are_refused() {
    expect(&[
        ("[groups.g]\n", "1:1", "groups.g.members", &["no such key", "a list of the group's members"]),
        ("[groups.g]\nmembers = []\n", "2:11", "groups.g.members", &["no member", "at least one"]),
        ("[groups.g]\nmembers = \"a\"\n", "2:11", "groups.g.members", &["found \"a\"", "a list of names"]),
        (
            "[groups.g]\nmembers = [\"a\", 5]\n",
            "2:17",
            "groups.g.members[1]",
            &["the number 5", "the name of a module, binding, group or trigger"],
        ),
        (
            "[groups.g]\nmembers = [\"a\", \"kw\"]\n",
            "2:17",
            "groups.g.members[1]",
            &[
                "\"kw\", which no module, binding, group or trigger is called",
                "bindings.kv, bindings.lines, bindings.both, modules.a",
                "did you mean `kv`?",
            ],
        ),
        (
            "[groups.g]\nmembers = [\"module.a\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["\"module.a\"", "did you mean `modules.a`?"],
        ),
        (
            "[groups.g]\nmembers = [\"modules.kv\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["which no module is called", "did you mean `bindings.kv`?"],
        ),
        (
            "[groups.g]\nmembers = [\"bindings.bot\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["which no binding is called", "did you mean `bindings.both`?"],
        ),
        (
            "[groups.g]\nmembers = [\"groups.a\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["which no group is called", "did you mean `modules.a`?"],
        ),
        ("[groups.g]\nmembers = [\"\"]\n", "2:12", "groups.g.members[0]", &["found \"\", which no module"]),
        ("[groups.g]\nmembers = [\"modules.\"]\n", "2:12", "groups.g.members[0]", &["which no module is called"]),
        (
            "[groups.g]\nmembers = [\"both\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["\"both\", which is the name of several things", "\"modules.both\" or \"bindings.both\""],
        ),
        (
            "[groups.a]\nmembers = [\"b\"]\n[groups.g]\nmembers = [\"a\"]\n",
            "4:12",
            "groups.g.members[0]",
            &["\"modules.a\" or \"groups.a\""],
        ),
        (
            "[groups.g]\nmembers = [\"log\", \"a\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["the binding `log` of type \"log\", which has no backend that could fail"],
        ),
        (
            "[groups.g]\nmembers = [\"bindings.module\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["the binding `module` of type \"module\"", "bindings with a backend"],
        ),
        (
            "[groups.g]\nmembers = [\"lines\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["the binding `lines` of type \"log\"", "no backend"],
        ),
    ]);
}

#[test]
fn members_with_two_places_are_refused() {
    expect(&[
        (
            "[groups.g]\nmembers = [\n \"a\",\n \"modules.a\",\n]\n",
            "4:2",
            "groups.g.members[1]",
            &["`modules.a` a second time", "the first is on line 9", "every member once"],
        ),
        (
            "[groups.g]\nmembers = [\"a\", \"kv\"]\n[groups.h]\nmembers = [\"b\", \"kv\"]\n",
            "4:17",
            "groups.h.members[1]",
            &["`bindings.kv`, which is a member of the group `g` already, on line 8"],
        ),
        (
            "[groups.g]\nmembers = [\"i\"]\n[groups.h]\nmembers = [\"groups.i\"]\n[groups.i]\nmembers = [\"a\"]\n",
            "4:12",
            "groups.h.members[0]",
            &["`groups.i`, which is a member of the group `g` already"],
        ),
    ]);
}

#[test]
fn groups_that_contain_themselves_are_refused_with_the_way_round() {
    expect(&[
        (
            "[groups.g]\nmembers = [\"a\", \"g\"]\n",
            "2:17",
            "groups.g.members[1]",
            &["the group `g`, which would contain itself", "not themselves"],
        ),
        (
            "[groups.g]\nmembers = [\"h\"]\n[groups.h]\nmembers = [\"g\"]\n",
            "2:12",
            "groups.g.members[0]",
            &["`g` → `h` → `g`"],
        ),
        (
            "[groups.x]\nmembers = [\"a\"]\n[groups.h]\nmembers = [\"b\", \"g\"]\n[groups.i]\nmembers = [\"h\"]\n\
             [groups.g]\nmembers = [\"i\"]\n",
            "4:17",
            "groups.h.members[1]",
            &["`h` → `g` → `i` → `h`"],
        ),
        (
            "[groups.tail]\nmembers = [\"a\"]\n[groups.g]\nmembers = [\"tail\", \"h\"]\n[groups.h]\nmembers = [\"g\"]\n",
            "4:20",
            "groups.g.members[1]",
            &["`g` → `h` → `g`"],
        ),
    ]);
}

#[test]
fn counts_of_a_member_are_refused_in_favour_of_its_groups() {
    expect(&[
        (
            "[groups.g]\nmembers = [\"m\"]\n[modules.m]\npath = \"m\"\nrestart.intensity = 5\n",
            "5:21",
            "modules.m.restart.intensity",
            &["`intensity` of `modules.m`, a member of the group `g`", "in a group the group's", "below [groups.g]"],
        ),
        (
            "[groups.g]\nmembers = [\"m\"]\n[modules.m]\npath = \"m\"\n[modules.m.restart]\nperiod = \"30s\"\n",
            "6:10",
            "modules.m.restart.period",
            &["`period` of `modules.m`"],
        ),
        (
            "[modules.m]\npath = \"m\"\nrestart = { retry_failed = \"never\" }\n[groups.g]\nmembers = [\"m\"]\n",
            "3:28",
            "modules.m.restart.retry_failed",
            &["`retry_failed` of `modules.m`"],
        ),
        (
            "[bindings.k]\ntype = \"keyvalue\"\nrestart.intensity = 5\n[groups.g]\nmembers = [\"k\"]\n",
            "3:21",
            "bindings.k.restart.intensity",
            &["`intensity` of `bindings.k`, a member of the group `g`"],
        ),
        (
            "[groups.g]\nmembers = [\"h\"]\n[groups.h]\nmembers = [\"a\"]\nretry_failed = \"1m\"\n",
            "5:16",
            "groups.h.retry_failed",
            &["`retry_failed` of `groups.h`", "the group `g` above it restarts it", "outermost"],
        ),
    ]);
}

#[test]
fn modules_before_the_bindings_that_they_link_to_are_refused() {
    expect(&[
        (
            "[modules.m]\npath = \"m\"\nlinks = [\"log\", \"kv\"]\n[groups.g]\nmembers = [\"m\",\n \"kv\"]\n",
            "5:12",
            "groups.g.members[0]",
            &["`modules.m`, which links to `bindings.kv`, before it", "on line 12", "members start in their order"],
        ),
        (
            "[modules.m]\npath = \"m\"\nlinks = [{ binding = \"default\", to = \"kv\" }]\n\
             [groups.g]\nmembers = [\"h\", \"i\"]\n[groups.h]\nmembers = [\"m\"]\n[groups.i]\nmembers = [\"kv\"]\n",
            "7:12",
            "groups.h.members[0]",
            &["`modules.m`, which links to `bindings.kv`"],
        ),
    ]);
}

#[test]
fn triggers_before_what_they_need_are_refused() {
    let every = "[triggers.t]\ntype = \"schedule\"\nevery = \"1s\"\nmodule = \"a\"\noperation = \"x\"\n";
    let heard = "[bindings.bus]\ntype = \"messaging\"\n[triggers.t]\ntype = \"messages\"\nbinding = \"bus\"\n\
                 topics = \"x\"\nmodule = \"a\"\noperation = \"x\"\n";
    expect(&[
        (
            &format!("{every}[groups.g]\nmembers = [\"t\", \"a\"]\n"),
            "7:12",
            "groups.g.members[0]",
            &["`triggers.t`, which needs `modules.a`, before it", "on line 13", "members start in their order"],
        ),
        (
            &format!("{heard}[groups.g]\nmembers = [\"a\", \"t\", \"bus\"]\n"),
            "10:17",
            "groups.g.members[1]",
            &["`triggers.t`, which needs `bindings.bus`"],
        ),
    ]);
    groups(&format!("{every}[groups.g]\nmembers = [\"t\", \"b\"]\n"));
    let late = every.replace("\"a\"", "\"late\"");
    groups(&format!("{late}[modules.late]\npath = \"d\"\nlazy = true\n[groups.g]\nmembers = [\"t\", \"late\"]\n"));
}

#[test]
fn keys_of_groups_are_refused_as_other_keys_are() {
    expect(&[
        ("[groups.G]\nmembers = [\"a\"]\n", "1:9", "groups.G", &["the character 'G'", "`g`"]),
        ("groups = []\n", "1:10", "groups", &["found a list", "[groups.shop]"]),
        ("groups.g = [\"a\"]\n", "1:12", "groups.g", &["found a list", "a table with the group's settings"]),
        (
            "[groups.g]\nmembers = [\"a\"]\nstrategy = \"one-for-all\"\n",
            "3:12",
            "groups.g.strategy",
            &["\"one_for_one\" or \"one_for_all\" or \"rest_for_one\"", "did you mean `one_for_all`?"],
        ),
        (
            "[groups.g]\nmembers = [\"a\"]\nstrategy = \"simple_one_for_one\"\n",
            "3:12",
            "groups.g.strategy",
            &["\"one_for_one\" or"],
        ),
        ("[groups.g]\nmembers = [\"a\"]\nintensity = 10001\n", "3:13", "groups.g.intensity", &["from 0 to 10000"]),
        ("[groups.g]\nmembers = [\"a\"]\nperiod = 5\n", "3:10", "groups.g.period", &["\"5s\""]),
        ("[groups.g]\nmembers = [\"a\"]\nretry_failed = \"no\"\n", "3:16", "groups.g.retry_failed", &["\"never\""]),
        ("[groups.g]\nmembers = [\"a\"]\ncritical = 1\n", "3:12", "groups.g.critical", &["true or false"]),
        (
            "[groups.g]\nmember = [\"a\"]\nmembers = [\"a\"]\n",
            "2:1",
            "groups.g.member",
            &["unknown key", "did you mean `members`?"],
        ),
    ]);
}

#[test]
fn one_mistake_in_a_member_is_not_reported_again_by_its_group() {
    for text in [
        "[bindings.cache]\ntype = \"redis\"\n[groups.g]\nmembers = [\"cache\"]\n",
        "[modules.\"m.n\"]\npath = \"m\"\n[groups.g]\nmembers = [\"m.n\"]\n",
        "[groups.g]\nmembers = [\"h\"]\n[groups.h]\nmembers = []\n",
        "[groups.g]\nmembers = [\"a\", \"a\"]\n[modules.a]\npath = \"a\"\n",
    ] {
        let errors = bad(text);
        assert_eq!(errors.iter().count(), 1, "{errors}");
    }
}
