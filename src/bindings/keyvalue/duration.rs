//! Durations with their unit, as in the configuration: `250ms`, `30s`, `5m`, `12h`, `7d`.

use std::time::Duration;

/// Reads a whole number and its unit.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let trimmed = text.trim();
    let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = trimmed.split_at(digits);
    let expected = || format!("`{text}`, expected a number and a unit: ms, s, m, h or d");
    let number: u64 = number.parse().map_err(|error| format!("{}: {error}", expected()))?;
    let milliseconds = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_number_with_its_unit_and_nothing_else() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration(" 2 m "), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for wrong in
            ["", "30", "s", "-1s", "1.5s", "1 fortnight", "99999999999999999999s", "9999999999999999999d", "1s2"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
