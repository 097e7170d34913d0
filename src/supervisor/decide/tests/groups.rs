//! One group: strategy by place, type by strategy, who counts, who is parked.

use super::{Row, sentences::*};

pub(super) const ROWS: &[Row] = &[
    ("one_for_one, the first", "G=one [ a b c ]", "0 a trap -> restart", ONE_FOR_ONE),
    ("one_for_one, the middle", "G=one [ a b c ]", "0 b trap -> restart", ONE_FOR_ONE),
    ("one_for_one, the last", "G=one [ a b c ]", "0 c trap -> restart", ONE_FOR_ONE),
    ("one_for_all, the first", "G=all [ a b c ]", "0 a trap -> G, stop c b, start a b c", ONE_FOR_ALL),
    ("one_for_all, the middle", "G=all [ a b c ]", "0 b trap -> G, stop c a, start a b c", ONE_FOR_ALL),
    ("one_for_all, the last", "G=all [ a b c ]", "0 c trap -> G, stop b a, start a b c", ONE_FOR_ALL),
    ("rest_for_one, the first", "G=rest [ a b c ]", "0 a trap -> G, stop c b, start a b c", REST_FOR_ONE),
    ("rest_for_one, the middle", "G=rest [ a b c ]", "0 b trap -> G, stop c, start b c", REST_FOR_ONE),
    ("rest_for_one, the last", "G=rest [ a b c ]", "0 c trap -> restart", REST_FOR_ONE),
    ("one_for_all with one member", "G=all [ a ]", "0 a trap -> restart", ONE_FOR_ALL),
    ("a binding takes its modules with it", "G=rest [ @a b c ]", "0 a panic -> G, stop c b, start a b c", REST_FOR_ONE),
    ("the order is the group's, not the file's", "x G=all [ b a @c ] y", "0 a trap -> G, stop c b, start b a c", ORDER),
    ("who stands outside is not concerned", "x G=all [ a b ] @y", "0 a trap -> G, stop b, start a b", ALONE),
    (
        "another group is not concerned",
        "G=all [ a b ] H=all [ c d ]",
        "0 d trap -> H, stop c, start c d; 0 counts G 0",
        ALONE,
    ),
    // Types.
    (
        "a temporary sibling is stopped and not started",
        "G=all [ a b? c ]",
        "0 a trap -> G, stop c b, start a c",
        TEMPORARY,
    ),
    (
        "a temporary sibling after it is stopped and not started",
        "G=rest [ a b? ]",
        "0 a trap -> G, stop b, start a",
        TEMPORARY,
    ),
    (
        "a temporary sibling before it is let alone",
        "G=rest [ a? b c ]",
        "0 b trap -> G, stop c, start b c",
        REST_FOR_ONE,
    ),
    ("a temporary member's failure", "G=all [ a b? c ]", "0 b trap -> stop; 0 counts G 0", CONCERNS_NOBODY),
    ("a temporary member that does not load", "G=all:0/30! [ a b? c ]", "0 b load -> fail b", CONCERNS_NOBODY),
    ("a transient member's normal end", "G=all [ a b~ c ]", "0 b exit0 -> stop; 0 counts G 0", CONCERNS_NOBODY),
    ("a transient member's failure", "G=all [ a b~ c ]", "0 b exit1 -> G, stop c a, start a b c", ONE_FOR_ALL),
    (
        "a transient that had ended normally starts with all",
        "G=all [ a b~ c ]",
        "0 b exit0 -> stop; 1 a trap -> G, stop c b, start a b c",
        ONE_FOR_ALL,
    ),
    (
        "a transient that had ended normally starts with the rest",
        "G=rest [ a b~ ]",
        "0 b exit0 -> stop; 1 a trap -> G, stop b, start a b",
        REST_FOR_ONE,
    ),
    ("a permanent member's normal end", "G=all [ a b ]", "0 a exit0 -> G, stop b, start a b", PERMANENT),
    ("a member stopped by hand", "G=all [ a b ]", "0 a stopped -> stop; 0 counts G 0", STOPPED),
    // Waiting for others.
    (
        "a member waits past its deadline, one_for_all",
        "G=all:0/30 [ a b ]",
        "0 a waited -> restart; 0 counts G 0",
        HOST_CALL,
    ),
    (
        "a member waits past its deadline, rest_for_one",
        "G=rest:0/30 [ a b ]",
        "0 a waited -> restart; 1 a waited -> restart",
        HOST_CALL,
    ),
    // Who counts.
    (
        "members' restarts add up",
        "G=one:2/30 [ a b c ]",
        "0 a trap -> restart; 1 b trap -> restart; 2 c trap -> fail G, stop b a",
        GROUP_COUNTS,
    ),
    (
        "one restart of all counts once",
        "G=all:2/30 [ a b c ]",
        "0 a trap -> G, stop c b, start a b c; 0 counts G 1; 0 counts b 1",
        GROUP_COUNTS,
    ),
    (
        "the group's intensity is smaller than the member's",
        "G=one:1/30 [ a:9/30 ]",
        "0 a trap -> restart; 1 a trap -> fail G",
        GROUP_COUNTS,
    ),
    (
        "the group's intensity is larger than the member's",
        "G=one:2/30 [ a:0/30 ] | initial=0",
        "0 a trap -> restart; 1 a trap -> restart; 2 a trap -> fail G",
        GROUP_COUNTS,
    ),
    (
        "the group's period, not the member's",
        "G=one:1/5 [ a:1/60 ]",
        "0 a trap -> restart; 5.001 a trap -> restart; 10.001 a trap -> fail G",
        GROUP_COUNTS,
    ),
    (
        "the edge of the group's window",
        "G=all:1/30 [ a b ]",
        "0 a trap -> G, stop b, start a b; 30 b trap -> fail G, stop a",
        WINDOW,
    ),
    (
        "past the edge of the group's window",
        "G=all:1/30 [ a b ]",
        "0 a trap -> G, stop b, start a b; 30.001 b trap -> G, stop a, start a b",
        WINDOW,
    ),
    ("a group with intensity 0", "G=all:0/30 [ a b c ]", "0 b trap -> fail G, stop c a", INTENSITY),
    (
        "a group that fails stops all, whatever its strategy",
        "G=one:0/30 [ a b c d? ]",
        "0 b trap -> fail G, stop d c a",
        INTENSITY,
    ),
    (
        "a group that fails for rest_for_one stops also those before",
        "G=rest:0/30 [ a b c ]",
        "0 b trap -> fail G, stop c a",
        INTENSITY,
    ),
    (
        "a group fails, and who stands outside goes on",
        "x G=one:0/30 [ a b ] @y",
        "0 a trap -> fail G, stop b; 1 x trap -> restart",
        ALONE,
    ),
    (
        "a group's new chance",
        "G=one:1/30 [ a b ]",
        "0 a trap -> restart; 1 b trap -> fail G, stop a; clear G; 2 b trap -> restart, after 100ms",
        FAILED,
    ),
    // Success.
    (
        "a success clears what this child caused",
        "G=one:2/30 [ a b ]",
        "0 a trap -> restart; 1 b trap -> restart; 2 a+ trap -> restart; 2 counts G 2",
        SUCCESS,
    ),
    (
        "a success of one does not clear what another caused",
        "G=one:1/30 [ a b ]",
        "0 b trap -> restart; 1 a+ trap -> fail G, stop b",
        SUCCESS,
    ),
    (
        "members that count plainly",
        "G=one:1/30 [ a b ] | plain",
        "0 a trap -> restart; 1 a+ trap -> fail G, stop b",
        PLAIN,
    ),
    // Loading.
    ("a member does not load, one_for_one", "G=one [ a b c ]", "0 b load -> fail G, stop c a", LOAD_FAILED),
    ("a member does not load, one_for_all", "G=all [ a b ]", "0 a load -> fail G, stop b", LOAD_FAILED),
    ("a transient member does not load", "G=rest [ a b~ ]", "0 b load -> fail G, stop a", LOAD_FAILED),
    // Critical.
    ("a critical group that restarts goes on", "G=all:1/30! [ a b ]", "0 a trap -> G, stop b, start a b", CRITICAL),
    ("a critical group that fails", "G=all:0/30! [ a b ]", "0 a trap -> stop daemon for G, stop b", CRITICAL),
    (
        "a critical group whose member does not load",
        "G=one! [ a b ]",
        "0 a load -> stop daemon for G, stop b",
        CRITICAL,
    ),
    ("a group that is not critical fails", "G=all:0/30 [ a b ] H=all! [ c ]", "0 a trap -> fail G, stop b", CRITICAL),
    // Parked.
    ("a parked sibling stays", "G=all [ a b c ]", "park b; 0 a trap -> G, stop c, start a c", PARKED),
    ("a parked sibling after it stays", "G=rest [ a b c ]", "park c; 0 a trap -> G, stop b, start a b", PARKED),
    ("a parked temporary sibling stays", "G=all [ a b? c ]", "park b; 0 c trap -> G, stop a, start a c", PARKED),
    ("all siblings are parked", "G=all [ a b c ]", "park b; park c; 0 a trap -> G, start a", PARKED),
    ("a parked sibling of a group that fails", "G=one:0/30 [ a b c ]", "park b; 0 a trap -> fail G, stop c", PARKED),
    (
        "a parked member that ends concerns nobody",
        "G=all:0/30! [ a b ]",
        "park a; 0 a trap -> stop; 0 counts G 0",
        PARKED,
    ),
    (
        "who is no longer parked is restarted again",
        "G=all [ a b ]",
        "park b; 0 a trap -> G, start a; unpark b; 1 a+ trap -> G, stop b, start a b",
        PARKED,
    ),
];
