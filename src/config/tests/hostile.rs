//! Generated texts: the reader never panics, and every report points into the file.

use std::path::Path;

use proptest::prelude::*;

use super::{
    super::{ConfigErrors, dropped, include::Included, load::read_all, plan},
    FILE, check, good, user,
};

/// Holds every key with a value that is allowed, as the ground for mutations.
const VALID: &str = concat!(include_str!("design.toml"), include_str!("every_key.toml"));
/// The content of a dropped module's table.
const DROPPED: &str = "links = [\"cache\", { to = \"log\", operations = [\"info\"] }]\ninstances = 2\nlimits.memory = \"1 MiB\"\n\
                       [restart]\nbackoff.max = \"1m\"\n[swap]\nprobe = { operation = \"o\" }\nprobation = \"1m\"\n";

/// Whatever is accepted has no difference from itself, and every refusal points into the text.
fn survives(text: &str) -> Result<(), TestCaseError> {
    match check(text) {
        Ok(config) => prop_assert!(plan(&config, &config).is_empty()),
        Err(errors) => points_into(text, &errors)?,
    }
    Ok(())
}

fn points_into(text: &str, errors: &ConfigErrors) -> Result<(), TestCaseError> {
    let lines = text.matches('\n').count() + 1;
    prop_assert!(errors.iter().count() > 0);
    for error in errors {
        prop_assert!(!error.found.is_empty() && !error.expected.is_empty(), "{error:?}");
        if let Some(position) = error.position {
            prop_assert!((1..=lines).contains(&position.line) && position.column >= 1, "{error:?} in {lines} lines");
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
    fn a_text_that_is_included_is_read_or_refused_under_its_own_name(
        at in 0..VALID.len(), length in 0..4000_usize, piece in "[a-z\\[\\]{}=.,\"' \n#0-9]{0,12}",
    ) {
        let start = VALID.floor_char_boundary(at);
        let end = VALID.floor_char_boundary((at + length).min(VALID.len()));
        let (main, other) = (format!("{}{}", &VALID[..start], &VALID[end..]), format!("{piece}{}", &VALID[start..end]));
        let path = Path::new("/etc/wapcd/conf.d/other.toml");
        let included = || vec![Included { named: path.into(), path: path.into(), text: Ok(other.clone()) }];
        match read_all(&main, Path::new(FILE), &user(), |_| included()) {
            Ok(config) => prop_assert_eq!(config.files, [Path::new(FILE), path]),
            Err(errors) => {
                for error in &errors {
                    let text = if error.file == path { &other } else { &main };
                    let lines = text.matches('\n').count() + 1;
                    prop_assert!(error.position.is_none_or(|at| at.line <= lines), "{error:?} in {lines} lines");
                }
            }
        }
    }

    #[test]
    fn any_entry_of_include_is_read_or_refused(entry: String) {
        survives(&format!("include = [{entry:?}, '{entry}']\n"))?;
    }

    #[test]
    fn the_file_of_a_dropped_module_is_read_or_refused(
        at in 0..DROPPED.len(), length in 0..40_usize, piece in "[a-z\\[\\]{}=.,\"' \n#0-9\\\\ö]{0,12}", name: String,
    ) {
        let config = good("drop_in.links = [\"cache\", \"log\"]\nbindings.cache.type = \"keyvalue\"\n");
        let start = DROPPED.floor_char_boundary(at);
        let end = DROPPED.floor_char_boundary((at + length).min(DROPPED.len()));
        let text = format!("{}{piece}{}", &DROPPED[..start], &DROPPED[end..]);
        let toml = Path::new("/drop/a.toml");
        if let Err(errors) = dropped("a", Path::new("/drop/a.wasm"), Some((toml, &text)), &config) {
            points_into(&text, &errors)?;
        }
        // Nothing but an allowed name is ever the name of a module.
        if dropped(&name, Path::new("/drop/x.wasm"), None, &config).is_ok() {
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name:?}");
        }
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
