//! Generated texts: the reader never panics, and every report points into the file.

use proptest::prelude::*;

use super::check;

/// Holds every key with a value that is allowed, as the ground for mutations.
const VALID: &str = concat!(include_str!("design.toml"), include_str!("every_key.toml"));

fn survives(text: &str) -> Result<(), TestCaseError> {
    if let Err(errors) = check(text) {
        let lines = text.matches('\n').count() + 1;
        prop_assert!(errors.iter().count() > 0);
        for error in &errors {
            prop_assert!(!error.found.is_empty() && !error.expected.is_empty(), "{error:?}");
            if let Some(position) = error.position {
                prop_assert!(
                    (1..=lines).contains(&position.line) && position.column >= 1,
                    "{error:?} in {lines} lines"
                );
            }
        }
    }
    Ok(())
}

/// A value that TOML allows where it may not belong.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("[[[]], {}]".to_owned()),
        Just("nan".to_owned()),
        Just("-inf".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("\"\"".to_owned()),
        Just("{ a = { b = [1, \"\\u0000\"] } }".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u128>().prop_map(|number| format!("0x{number:x}")),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        "[0-9]{0,30} ?[a-zA-Z]{0,5}".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| format!("{text:?}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        survives(&text)?;
    }

    #[test]
    fn any_text_of_tomls_characters_is_read_or_refused(text in "[a-z\\[\\]{}=.,\"' \n#0-9\\\\]{0,200}") {
        survives(&text)?;
    }

    #[test]
    fn a_valid_text_with_a_piece_cut_out_or_put_in_is_read_or_refused(
        at in 0..VALID.len(), length in 0..40_usize, piece in "[a-z\\[\\]{}=.,\"' \n#0-9\\\\ö]{0,12}",
    ) {
        let start = VALID.floor_char_boundary(at);
        let end = VALID.floor_char_boundary((at + length).min(VALID.len()));
        survives(&format!("{}{piece}{}", &VALID[..start], &VALID[end..]))?;
    }

    #[test]
    fn a_valid_text_with_another_value_somewhere_is_read_or_refused(line in 0..VALID.lines().count(), value in value()) {
        let text: Vec<String> = VALID
            .lines()
            .enumerate()
            .map(|(index, old)| match old.split_once('=') {
                Some((key, _)) if index == line => format!("{key}= {value}"),
                _ => old.to_owned(),
            })
            .collect();
        survives(&text.join("\n"))?;
    }

    #[test]
    fn a_valid_text_with_lines_in_another_order_is_read_or_refused(
        lines in Just(VALID.lines().collect::<Vec<_>>()).prop_shuffle(),
    ) {
        survives(&lines.join("\n"))?;
    }
}

#[test]
fn deep_nesting_is_refused_and_not_recursed_into() {
    for (open, close) in [("[", "]"), ("{ a = ", " }")] {
        let text = format!("x = {}1{}", open.repeat(100_000), close.repeat(100_000));
        assert!(check(&text).is_err());
    }
    let dotted = "a.".repeat(300_000);
    assert!(check(&format!("[{dotted}a]")).is_err());
    assert!(check(&format!("{dotted}a = 1")).is_err());
    assert!(check(&format!("x = {{ {dotted}a = 1 }}")).is_err());
    assert!(check(&"[[modules.a.links]]\n[modules.a.links.x]\n".repeat(20_000)).is_err());
}
