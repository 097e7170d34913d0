//! Who may call a route: whoever knows one of the tokens, or pairs of user and password, in a file.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::{
    config::{Authentication, SecretSource},
    files::secret::read_secret,
    host::chain,
    triggers::TriggerError,
};

/// What credentials are known by: their digests only, never themselves.
///
/// A lookup takes time by the digest of what was sent. Who guesses cannot choose that digest a byte at a time, so that
/// the time tells nothing of the secrets, whatever their number and length.
type Known = HashSet<[u8; 32]>;

/// The credentials of a route.
pub(super) struct Guard {
    scheme: Scheme,
    known: Known,
}

/// How credentials are sent.
#[derive(Debug, Clone, Copy)]
enum Scheme {
    Bearer,
    Basic,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The file that a secret is in; `None` for a credential where the service was given none.
pub(super) fn file(authentication: &Authentication, credentials: Option<&Path>) -> Option<PathBuf> {
    match source(authentication).1 {
        SecretSource::File(path) => Some(path.clone()),
        SecretSource::Credential(name) => credentials.map(|directory| directory.join(name)),
    }
}

fn name(source: &SecretSource) -> String {
    match source {
        SecretSource::File(path) => path.display().to_string(),
        SecretSource::Credential(name) => name.clone(),
    }
}

fn source(authentication: &Authentication) -> (Scheme, &SecretSource) {
    match authentication {
        Authentication::Token(source) => (Scheme::Bearer, source),
        Authentication::Basic(source) => (Scheme::Basic, source),
    }
}

impl Guard {
    /// Reads the credentials: one a line, without empty lines and those that begin with `#`.
    ///
    /// # Errors
    /// The file cannot be read, has no credentials, or a line that is none.
    pub(super) fn new(authentication: &Authentication, credentials: Option<&Path>) -> Result<Self, TriggerError> {
        let (scheme, source) = source(authentication);
        let refused = |why: String| TriggerError::Secret { file: name(source), why };
        let missing = || refused("the service was given no credentials".to_owned());
        let path = file(authentication, credentials).ok_or_else(missing)?;
        // Whole, and never waited for as a pipe would be.
        let secret = read_secret(&path).map_err(|error| refused(chain(&error)))?;
        let text = std::str::from_utf8(&secret.bytes).map_err(|error| refused(format!("it is not UTF-8: {error}")))?;
        let mut known = Known::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if matches!(scheme, Scheme::Basic) && !line.contains(':') {
                return Err(refused(format!("line {} is not USER:PASSWORD", index + 1)));
            }
            known.insert(digest(line.as_bytes()));
        }
        if known.is_empty() {
            return Err(refused("it has no credentials, and nobody could call".to_owned()));
        }
        Ok(Self { scheme, known })
    }

    /// Whether the request has credentials that are known: exactly one header with them.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else { return false };
        let Some((scheme, credentials)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return false;
        };
        let credentials = credentials.trim();
        match self.scheme {
            Scheme::Bearer => scheme.eq_ignore_ascii_case("bearer") && self.knows(credentials.as_bytes()),
            Scheme::Basic => {
                scheme.eq_ignore_ascii_case("basic")
                    && STANDARD.decode(credentials).is_ok_and(|credentials| self.knows(&credentials))
            }
        }
    }

    fn knows(&self, credentials: &[u8]) -> bool {
        self.known.contains(&digest(credentials))
    }

    /// What a request without credentials is told to send.
    pub(super) fn challenge(&self) -> HeaderValue {
        HeaderValue::from_static(match self.scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Basic => "Basic realm=\"restricted\", charset=\"UTF-8\"",
        })
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
