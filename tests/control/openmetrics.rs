//! A strict reader of OpenMetrics text: what a scraper may refuse, it refuses.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    help: bool,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// A whole page.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) BTreeMap<String, Family>);

impl Page {
    /// Reads a page.
    pub(crate) fn read(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").expect("a page ends with # EOF and a line end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(description) = line.strip_prefix("# ") {
                let mut parts = description.splitn(3, ' ');
                let (what, name, text) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
                if name != current {
                    assert!(!families.contains_key(name), "{name} comes in two places");
                    assert!(is_name(name), "{name}");
                    name.clone_into(&mut current);
                }
                let family = families.entry(current.clone()).or_default();
                assert!(family.samples.is_empty(), "{name} is described after its samples");
                match what {
                    "HELP" => assert!(
                        !std::mem::replace(&mut family.help, true) && text.ends_with(|c: char| c.is_alphanumeric())
                    ),
                    "TYPE" => assert!(std::mem::replace(&mut family.kind, text.to_owned()).is_empty()),
                    "UNIT" => {
                        assert!(family.unit.replace(text.to_owned()).is_none() && name.ends_with(&format!("_{text}")))
                    }
                    _ => panic!("{line}"),
                }
            } else {
                let family = families.get_mut(&current).expect("a description comes first");
                assert!(family.help && !family.kind.is_empty(), "{current} has no help or type");
                family.samples.push(sample(line, &current, &family.kind));
            }
        }
        families.values().for_each(Family::check);
        Self(families)
    }

    /// The value of a sample.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: BTreeMap<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut all = self.0.values().flat_map(|family| &family.samples);
        let found = all.find(|sample| sample.name == name && sample.labels == labels);
        found.unwrap_or_else(|| panic!("no {name} with {labels:?}")).value
    }

    /// Names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|family| &family.samples).map(|sample| sample.name.as_str()).collect()
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn sample(line: &str, family: &str, kind: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let name = &line[..end];
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        "gauge" => &[""],
        _ => panic!("type {kind}"),
    };
    assert!(suffixes.contains(&name.strip_prefix(family).unwrap()), "{name} in the {kind} {family}");
    let (labels, rest) = match line[end..].strip_prefix('{') {
        Some(rest) => labels(rest),
        None => (BTreeMap::new(), &line[end..]),
    };
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap() }
}

/// Reads labels up to the brace that ends them.
fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (key, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(key), "{key}");
        let (value, after) = quoted(after);
        assert!(labels.insert(key.to_owned(), value).is_none(), "{key} twice");
        match after.split_at(1) {
            (",", more) => rest = more,
            ("}", more) => return (labels, more),
            _ => panic!("{after}"),
        }
    }
}

fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c} in a label"),
            }),
            '\n' => panic!("a line end in a label"),
            c => value.push(c),
        }
    }
    panic!("a label without an end: {text}");
}

impl Family {
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?} twice");
            assert!(self.kind == "gauge" || sample.value >= 0.0, "{sample:?}");
        }
        if self.kind == "histogram" {
            self.samples
                .iter()
                .filter(|sample| sample.name.ends_with("_count"))
                .for_each(|count| self.check_buckets(count));
        }
    }

    /// Buckets rise in bound and number, and the last holds all.
    fn check_buckets(&self, count: &Sample) {
        let of = |sample: &&Sample| count.labels.iter().all(|(key, value)| sample.labels.get(key) == Some(value));
        let buckets =
            self.samples.iter().filter(of).filter_map(|sample| Some((sample.labels.get("le")?, sample.value)));
        let buckets: Vec<(f64, f64)> = buckets.map(|(bound, value)| (bound.parse().unwrap(), value)).collect();
        assert!(buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count.value)));
    }
}
