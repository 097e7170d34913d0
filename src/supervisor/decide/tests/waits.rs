//! How long a restart waits.

use super::{Row, sentences::*};

pub(super) const ROWS: &[Row] = &[
    (
        "the first exit is rebuilt at once, of any kind",
        "a",
        "0 a unhealthy -> restart; 1 a start -> restart, after 100ms",
        AT_ONCE,
    ),
    ("the second exit without a success waits", "a", "0 a trap -> restart; 1 a trap -> restart, after 100ms", AT_ONCE),
    (
        "a success makes the next exit the first",
        "a",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a+ trap -> restart; 3 a trap -> restart, after 100ms",
        AT_ONCE,
    ),
    (
        "also a plain count waits anew after a success",
        "a | plain",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a+ trap -> restart; 3 a trap -> restart, after 100ms",
        AT_ONCE,
    ),
    (
        "waits double",
        "a:9/30",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a trap -> restart, after 200ms; 3 a trap -> restart, after 400ms; 4 a trap -> restart, after 800ms",
        BACKOFF,
    ),
    (
        "waits grow by another factor",
        "a:9/30 | factor=10",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a trap -> restart, after 1s; 3 a trap -> restart, after 10s",
        BACKOFF,
    ),
    (
        "waits end at the cap",
        "a:9/30 | max=250",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a trap -> restart, after 200ms; 3 a trap -> restart, after 250ms; 4 a trap -> restart, after 250ms",
        BACKOFF,
    ),
    (
        "a cap as small as the first wait holds for all",
        "a:9/30 | max=100",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a trap -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "factor 1 waits the same each time",
        "a:9/30 | factor=1",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 2 a trap -> restart, after 100ms; 3 a trap -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "a first wait of 0 never waits",
        "a:9/30 | initial=0",
        "0 a trap -> restart; 1 a trap -> restart; 2 a trap -> restart; 3 a trap -> restart",
        BACKOFF,
    ),
    (
        "jitter and a roll of 0: the whole wait",
        "a | jitter=0.2",
        "0 a trap*0 -> restart; 1 a trap*0 -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "jitter and a roll of 0.5: half of the random part",
        "a | jitter=0.2",
        "0 a trap -> restart; 1 a trap*0.5 -> restart, after 90ms",
        BACKOFF,
    ),
    (
        "jitter and a roll of 1: without the random part",
        "a | jitter=0.2",
        "0 a trap -> restart; 1 a trap*1 -> restart, after 80ms",
        BACKOFF,
    ),
    (
        "a jitter of 1 may take the whole wait",
        "a | jitter=1",
        "0 a trap -> restart; 1 a trap*1 -> restart; 2 a trap*0.5 -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "without jitter the roll changes nothing",
        "a",
        "0 a trap*1 -> restart; 1 a trap*1 -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "jitter shortens the cap as well, and the growth goes on below it",
        "a:9/30 | jitter=0.5, max=200",
        "0 a trap -> restart; 1 a trap*1 -> restart, after 50ms; 2 a trap*1 -> restart, after 100ms; 3 a trap*1 -> restart, after 100ms",
        BACKOFF,
    ),
    (
        "an exit after a healthy period is the first",
        "a",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 31.1 a trap -> restart",
        HEALTHY,
    ),
    (
        "the healthy period begins when the wait has ended",
        "a",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 31.099 a trap -> restart, after 200ms",
        HEALTHY,
    ),
    (
        "waiting for somebody else is not an exit of the series",
        "a",
        "0 a trap -> restart; 1 a waited -> restart; 2 a waited -> restart; 3 a trap -> restart, after 100ms",
        HOST_CALL,
    ),
    (
        "a stop by hand is not an exit of the series",
        "a",
        "0 a trap -> restart; 1 a stopped -> stop; 2 a trap -> restart, after 100ms",
        STOPPED,
    ),
    (
        "a new chance waits anew",
        "a",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; clear a; 2 a trap -> restart",
        FAILED,
    ),
    (
        "in a group the group's period is the healthy one",
        "G=one:9/5 [ a:9/60 ]",
        "0 a trap -> restart; 1 a trap -> restart, after 100ms; 6.1 a trap -> restart",
        GROUP_COUNTS,
    ),
    (
        "a group waits as long as the member that ended",
        "G=all [ a b ]",
        "0 a trap -> G, stop b, start a b; 1 a trap -> G, stop b, start a b, after 100ms; 2 b trap -> G, stop a, start a b; 3 b trap -> G, stop a, start a b, after 100ms",
        BACKOFF,
    ),
    (
        "who was restarted with its group has not been healthy since",
        "G=all:9/10 [ a b ]",
        "0 b trap -> G, stop a, start a b; 8 a trap -> G, stop b, start a b; 12 b trap -> G, stop a, start a b, after 100ms",
        HEALTHY,
    ),
];
