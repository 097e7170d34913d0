//! The text beside a file that failed.

use std::{ffi::OsStr, time::SystemTime};

/// Why a file is given up.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// When it failed last.
    pub(super) at: SystemTime,
    /// Id of the last call; `None` where there was none.
    pub(super) call: Option<u64>,
    /// Calls that it had.
    pub(super) attempts: u32,
    /// Why it failed last, with all causes.
    pub(super) why: String,
}

impl Failure {
    /// The lines of the file that tells it.
    pub(super) fn text(&self, name: &OsStr) -> String {
        use std::fmt::Write as _;

        let since = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let time = i64::try_from(since).ok().and_then(chrono::DateTime::from_timestamp_millis).unwrap_or_default();
        let mut text = format!("time: {}\nfile: {}\n", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"), name.to_string_lossy());
        if let Some(call) = self.call {
            // Writing to a string does not fail.
            writeln!(text, "call: {call}").ok();
        }
        text.push_str(&format!("attempts: {}\nerror: {}\n", self.attempts, self.why));
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_when_what_and_why() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_430_000_250);
        let failure = Failure { at, call: Some(7), attempts: 5, why: "no: because".to_owned() };
        assert_eq!(
            failure.text(OsStr::new("a.csv")),
            "time: 2026-11-23T10:33:20.250Z\nfile: a.csv\ncall: 7\nattempts: 5\nerror: no: because\n"
        );
        let failure = Failure { call: None, attempts: 0, ..failure };
        assert!(!failure.text(OsStr::new("a")).contains("call"));
    }
}
