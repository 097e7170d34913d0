//! Messages, on their way out and as they come in. Whatever exists here is well formed: names are checked where a value is
//! made, and nowhere else.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    bindings::payload::{bad_request, cut},
    host::{HostCallError, HostErrorKind},
};

/// Bytes of one topic. Servers route by topics and keep tables of them; NATS recommends fewer.
pub const MAX_TOPIC: usize = 255;

/// Headers that carry what a backend has no other place for begin so, in any case of letters.
pub(super) const RESERVED_HEADERS: &str = "wapcd-";

/// Named texts beside a payload. Clones share them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Option<Arc<BTreeMap<String, String>>>);

impl Headers {
    /// Takes headers that every backend can carry: names of visible ASCII without `:`, values without control characters
    /// and without white space at their ends.
    ///
    /// # Errors
    /// `bad_request`, naming the header.
    pub fn new(headers: BTreeMap<String, String>) -> Result<Self, HostCallError> {
        for (name, value) in &headers {
            check_header(name, value).map_err(|why| bad_request(format!("field `headers`: {why}")))?;
        }
        Ok(Self::unchecked(headers))
    }

    /// Headers that came from a backend.
    pub(super) fn unchecked(headers: BTreeMap<String, String>) -> Self {
        Self((!headers.is_empty()).then(|| Arc::new(headers)))
    }

    /// Every name with its value, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|headers| headers.iter()).map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of all names and values.
    pub(super) fn size(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Err(format!("`{}` is no name: visible ASCII without `:`", cut(&name.escape_debug().to_string())));
    }
    let start = name.get(..RESERVED_HEADERS.len());
    if start.is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_HEADERS)) {
        return Err(format!("`{}`: names that begin with `{RESERVED_HEADERS}` are the daemon's own", cut(name)));
    }
    if value.chars().any(char::is_control) || value.trim() != value {
        let name = cut(name);
        return Err(format!("the value of `{name}` has a control character, or white space at an end"));
    }
    Ok(())
}

/// A message that is to be published.
#[derive(Debug, Clone)]
pub struct Outgoing<'m> {
    topic: Cow<'m, str>,
    payload: Bytes,
    headers: Headers,
    reply_to: Option<Cow<'m, str>>,
}

impl<'m> Outgoing<'m> {
    /// A message without headers.
    ///
    /// # Errors
    /// `bad_request` where nothing can be published to such a topic.
    pub fn new(topic: impl Into<Cow<'m, str>>, payload: Bytes) -> Result<Self, HostCallError> {
        let topic = topic.into();
        check_topic("topic", &topic)?;
        Ok(Self { topic, payload, headers: Headers::default(), reply_to: None })
    }

    /// This message with headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// This message with the topic to which its answers go.
    ///
    /// # Errors
    /// `bad_request` where nothing can be published to such a topic.
    pub fn with_reply_to(mut self, topic: impl Into<Cow<'m, str>>) -> Result<Self, HostCallError> {
        let topic = topic.into();
        check_topic("reply_to", &topic)?;
        self.reply_to = Some(topic);
        Ok(self)
    }

    /// Where it goes.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What it says.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where its answers go.
    #[must_use]
    pub fn reply_to(&self) -> Option<&str> {
        self.reply_to.as_deref()
    }

    /// Whether it is no larger than a message may be.
    ///
    /// # Errors
    /// `too_large`.
    pub(super) fn check_size(&self, most: u64) -> Result<(), HostCallError> {
        let size = self.payload.len() as u64 + self.headers.size() as u64;
        if size <= most {
            return Ok(());
        }
        let text = format!("a message may have {most} bytes with its headers, this one has {size}");
        Err(HostCallError::new(HostErrorKind::TooLarge, text))
    }

    /// This message as those receive it who listen to its topic.
    pub(super) fn received(&self) -> Message {
        Message {
            topic: self.topic.as_ref().into(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            reply_to: self.reply_to.as_deref().map(Into::into),
            missed: 0,
        }
    }
}

/// A message that was received. Clones share everything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where it was published.
    pub topic: Arc<str>,
    /// What it says.
    pub payload: Bytes,
    /// Its headers.
    pub headers: Headers,
    /// Where an answer goes, if one is wanted.
    pub reply_to: Option<Arc<str>>,
    /// Messages before this one that the subscription lost, because it was too slow for them.
    pub missed: u64,
}

impl Message {
    /// Bytes that it holds while it waits.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.topic.len() + self.payload.len() + self.headers.size()
    }
}

/// Checks a topic to which something is to be published.
fn check_topic(field: &str, topic: &str) -> Result<(), HostCallError> {
    let wrong = |why: &str| Err(bad_request(format!("field `{field}`: {why}, found `{}`", cut(&shown(topic)))));
    if topic.len() > MAX_TOPIC {
        return wrong("a topic has at most 255 bytes");
    }
    let mut previous = '.';
    for character in topic.chars() {
        match character {
            '.' if previous == '.' => return wrong("no part of a topic between its dots may be empty"),
            '*' | '>' => return wrong("nothing can be published to a pattern with `*` or `>`"),
            _ if character.is_whitespace() || character.is_control() => {
                return wrong("a topic has no white space and no control characters");
            }
            _ => previous = character,
        }
    }
    if previous == '.' {
        return wrong("no part of a topic between its dots may be empty");
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_topic_has_parts_and_nothing_that_is_not_text() {
        for topic in ["a", "a.b", "a-b.c_d", "größe.π", "$SYS.x", "_INBOX.7", &"x".repeat(255)] {
            Outgoing::new(topic, Bytes::new()).unwrap();
        }
        for (topic, why) in [
            ("", "no part"),
            (".", "no part"),
            (".a", "no part"),
            ("a.", "no part"),
            ("a..b", "no part"),
            ("a b", "white space"),
            ("a\u{a0}b", "white space"),
            ("a\n", "white space"),
            ("a\0", "control"),
            ("a.*", "pattern"),
            ("a.>", "pattern"),
            ("a*b", "pattern"),
            (&"x".repeat(256), "255 bytes"),
        ] {
            let error = Outgoing::new(topic, Bytes::new()).unwrap_err();
            assert!(error.kind == HostErrorKind::BadRequest && error.to_string().contains(why), "{topic:?}: {error}");
            let fine = Outgoing::new("fine", Bytes::new()).unwrap();
            let error = fine.with_reply_to(topic).unwrap_err().to_string();
            assert!(error.starts_with("bad_request: field `reply_to`: ") && error.contains(why), "{topic:?}: {error}");
        }
    }

    #[test]
    fn headers_are_those_that_every_backend_can_carry() {
        let one = |name: &str, value: &str| Headers::new([(name.to_owned(), value.to_owned())].into());
        for (name, value) in [("a", ""), ("Content-Type", "text/plain; charset=utf-8"), ("x", "größe"), ("wapcd", "1")]
        {
            assert_eq!(one(name, value).unwrap().get(name), Some(value));
        }
        let (names, values) = (["", "a b", "a:b", "ä", "a\n", "Wapcd-Reply-To"], ["a\r\nb: c", " a", "a ", "\t", "\0"]);
        for (name, value) in names.iter().map(|name| (*name, "x")).chain(values.iter().map(|value| ("x", *value))) {
            let error = one(name, value).unwrap_err();
            assert_eq!(error.kind, HostErrorKind::BadRequest, "{name:?} {value:?}");
        }
    }

    #[test]
    fn headers_count_as_a_part_of_the_message() {
        let headers = Headers::new([("ab".to_owned(), "cd".to_owned())].into()).unwrap();
        let message = Outgoing::new("t", Bytes::from_static(b"123456")).unwrap().with_headers(headers);
        message.check_size(10).unwrap();
        let error = message.check_size(9).unwrap_err().to_string();
        assert_eq!(error, "too_large: a message may have 9 bytes with its headers, this one has 10");
    }
}
