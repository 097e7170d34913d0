//! When a file rests. Plain values in, plain values out.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::files::fingerprint::Fingerprint;

/// A state of a file, and since when it has been seen in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) state: Fingerprint,
    pub(super) since: Instant,
}

/// How long a file in this state still has to rest, until `settle` has passed since its last change; zero: it rests.
///
/// The file system says when it changed. Where its clock is ahead of ours, as that of a server may be, what counts is for how
/// long it was seen as it is.
pub(super) fn left(
    state: &Fingerprint,
    seen: Option<Seen>,
    (now, wall): (Instant, SystemTime),
    settle: Duration,
) -> Duration {
    let unchanged = seen.filter(|seen| seen.state == *state).map_or(Duration::ZERO, |seen| now - seen.since);
    let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i128;
    let age = u64::try_from(wall - state.ctime_ns).map_or(Duration::ZERO, Duration::from_nanos);
    settle.saturating_sub(age.max(unchanged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_rests_when_it_has_not_changed_for_long_enough_by_either_clock() {
        let ms = Duration::from_millis;
        let state =
            |ctime_ms: i128| Fingerprint { dev: 1, ino: 1, size: 1, mtime_ns: 0, ctime_ns: ctime_ms * 1_000_000 };
        let start = Instant::now();
        let (now, wall) = (start + ms(100), UNIX_EPOCH + ms(10_000));
        let seen = |state, at| Some(Seen { state, since: start + ms(at) });
        for (what, state, seen, expected) in [
            ("changed long ago", state(1_000), None, ms(0)),
            ("changed exactly so long ago", state(9_950), None, ms(0)),
            ("changed just now", state(10_000), None, ms(50)),
            ("changed a moment ago", state(9_980), None, ms(30)),
            ("changed in the future", state(20_000), None, ms(50)),
            ("in the future, seen for a while", state(20_000), seen(state(20_000), 70), ms(20)),
            ("in the future, seen for long enough", state(20_000), seen(state(20_000), 50), ms(0)),
            ("seen for long, but in another state", state(9_990), seen(state(1_000), 0), ms(40)),
        ] {
            assert_eq!(left(&state, seen, (now, wall), ms(50)), expected, "{what}");
        }
    }
}
