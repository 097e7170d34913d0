//! Percent-encoding of module and operation names in paths and headers.
//!
//! Names are opaque text here: whatever a guest was compiled with goes through, slashes and control characters included.

use std::fmt::Write as _;

use thiserror::Error;

/// Why an encoded name cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("the `%` at byte {at} is not followed by two hexadecimal digits")]
    Percent {
        /// Its offset in the encoded text.
        at: usize,
    },
    /// The decoded bytes are not text.
    #[error("byte {at} of the decoded text is not UTF-8")]
    NotUtf8 {
        /// Offset of the first wrong byte in the decoded text.
        at: usize,
    },
}

/// Encodes a name so that it is one segment of a path, and also a header's value.
#[must_use]
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

/// Decodes a name out of a path or a header.
///
/// # Errors
/// [`DecodeError`] where the text is not correctly encoded or the name is not UTF-8.
pub fn decode(encoded: &str) -> Result<String, DecodeError> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            decoded.push(first);
            continue;
        }
        let at = encoded.len() - tail.len() - 1;
        let (digits, tail) = tail.split_at_checked(2).ok_or(DecodeError::Percent { at })?;
        decoded.push(hex(digits).ok_or(DecodeError::Percent { at })?);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|error| DecodeError::NotUtf8 { at: error.utf8_error().valid_up_to() })
}

fn hex(digits: &[u8]) -> Option<u8> {
    digits
        .iter()
        .try_fold(0, |value: u32, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_survives_encoding_and_decoding() {
        let all: String = ('\0'..='\u{17f}').chain(['→', '😀', '\u{10ffff}']).collect();
        let encoded = encode(&all);
        assert!(encoded.bytes().all(|b| b.is_ascii_graphic() && !b"/?#\"<>".contains(&b)), "{encoded}");
        assert_eq!(decode(&encoded), Ok(all));
    }

    #[test]
    fn slashes_and_plus_signs_in_a_path_are_taken_as_they_are() {
        assert_eq!(decode("a/b+c").as_deref(), Ok("a/b+c"));
        assert_eq!(decode("").as_deref(), Ok(""));
    }

    #[test]
    fn wrong_encodings_are_refused_with_their_place() {
        let table = [
            ("a%", DecodeError::Percent { at: 1 }),
            ("%4", DecodeError::Percent { at: 0 }),
            ("ab%zz", DecodeError::Percent { at: 2 }),
            ("%+1", DecodeError::Percent { at: 0 }),
            ("%é", DecodeError::Percent { at: 0 }),
            ("x%ff", DecodeError::NotUtf8 { at: 1 }),
            ("%C3", DecodeError::NotUtf8 { at: 0 }),
        ];
        for (encoded, error) in table {
            assert_eq!(decode(encoded), Err(error), "{encoded}");
        }
    }
}
