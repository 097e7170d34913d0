//! The labels of a series as a guest sends them: a map of texts, read without an allocation where the format allows it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de};

/// Labels of one series at most. Each multiplies the series; people use two or three.
pub(super) const MAX_LABELS: usize = 8;

/// Names and values, sorted by name, without repetitions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Labels<'a> {
    all: [(Cow<'a, str>, Cow<'a, str>); MAX_LABELS],
    count: usize,
}

impl<'a> Labels<'a> {
    /// Each label.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().take(self.count).map(|(name, value)| (&**name, &**value))
    }

    /// Adds a label in its place.
    fn insert(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), String> {
        let place = self.all.iter().take(self.count).position(|(other, _)| *other >= name).unwrap_or(self.count);
        match self.all.get(place) {
            Some((other, _)) if place < self.count && *other == name => {
                return Err(format!("label `{}` comes twice", crate::bindings::payload::cut(&name)));
            }
            _ if self.count == MAX_LABELS => return Err(format!("more than {MAX_LABELS} labels")),
            _ => {}
        }
        if let Some(rest) = self.all.get_mut(place..=self.count) {
            rest.rotate_right(1);
        }
        if let Some(slot) = self.all.get_mut(place) {
            *slot = (name, value);
        }
        self.count += 1;
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Labels<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

/// A text that is borrowed where it can be.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct LabelsVisitor;

impl<'de> de::Visitor<'de> for LabelsVisitor {
    type Value = Labels<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Labels<'de>, A::Error> {
        let mut labels = Labels::default();
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            labels.insert(name, value).map_err(de::Error::custom)?;
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(json: &str) -> Result<Vec<String>, String> {
        let labels: Labels<'_> = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(labels.iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[test]
    fn labels_are_sorted_however_they_are_sent() {
        assert_eq!(read("{}").unwrap(), [""; 0]);
        for json in [r#"{"a":"1","b":"2","c":"3"}"#, r#"{"c":"3","b":"2","a":"1"}"#, r#"{"b":"2","c":"3","a":"1"}"#] {
            assert_eq!(read(json).unwrap(), ["a=1", "b=2", "c=3"]);
        }
        let eight: Vec<String> = (0..8).rev().map(|at| format!("\"l{at}\":\"\"")).collect();
        assert_eq!(read(&format!("{{{}}}", eight.join(","))).unwrap().len(), 8);
    }

    #[test]
    fn too_many_and_repeated_labels_are_refused() {
        assert!(read(r#"{"a":"1","a":"2"}"#).unwrap_err().starts_with("label `a` comes twice"));
        let nine: Vec<String> = (0..9).map(|at| format!("\"l{at}\":\"\"")).collect();
        assert!(read(&format!("{{{}}}", nine.join(","))).unwrap_err().starts_with("more than 8 labels"));
        assert!(read(r#"{"a":1}"#).unwrap_err().starts_with("invalid type: integer `1`, expected a string"));
    }
}
