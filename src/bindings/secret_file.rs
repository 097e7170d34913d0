//! Secrets, read from where the configuration says they are.

use std::{fmt, io, path::Path, sync::Arc};

use super::BindingError;
use crate::{config::SecretSource, files::secret::read_secret};

/// Bytes that nobody sees by accident.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Arc<[u8]>);

impl Secret {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Reads a secret, without one line end at its end, which editors add.
///
/// # Errors
/// It cannot be read, is too large, or there is no directory of credentials.
pub(super) fn read(
    binding: &Arc<str>,
    source: &SecretSource,
    credentials: Option<&Path>,
) -> Result<Secret, BindingError> {
    load(source, credentials).map_err(|error| unreadable(binding, source, error))
}

fn load(source: &SecretSource, credentials: Option<&Path>) -> io::Result<Secret> {
    let path = match source {
        SecretSource::File(path) => path.clone(),
        SecretSource::Credential(name) => {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "the service was given no credentials");
            credentials.ok_or_else(missing)?.join(name)
        }
    };
    let mut bytes = read_secret(&path).map_err(io::Error::from)?.bytes;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        bytes.pop_if(|last| *last == b'\r');
    }
    Ok(Secret(bytes.into()))
}

/// Reads a secret that is text, as passwords are.
///
/// # Errors
/// As [`read`], or it is not UTF-8.
pub(super) fn text(
    binding: &Arc<str>,
    source: &SecretSource,
    credentials: Option<&Path>,
) -> Result<String, BindingError> {
    let secret = read(binding, source, credentials)?;
    let text = std::str::from_utf8(secret.bytes());
    let text = text.map_err(|error| unreadable(binding, source, io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(text.to_owned())
}

fn unreadable(binding: &Arc<str>, source: &SecretSource, error: io::Error) -> BindingError {
    let place = match source {
        SecretSource::File(path) => format!("file `{}`", path.display()),
        SecretSource::Credential(name) => format!("credential `{name}`"),
    };
    BindingError::Secret { binding: Arc::clone(binding), place, source: error }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_secret_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        mknodat(CWD, directory.path().join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let error = read(&Arc::from("db"), &SecretSource::Credential("pipe".to_owned()), Some(directory.path()));
        assert_eq!(
            crate::host::chain(&error.unwrap_err()),
            "binding `db`: cannot read the secret in credential `pipe`: it is not a regular file"
        );
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let binding = Arc::from("db");
        for (written, expected) in
            [("pass\n", "pass"), ("pass\r\n", "pass"), ("pass", "pass"), (" pass\n\n", " pass\n"), ("\n", "")]
        {
            fs::write(directory.path().join("password"), written).unwrap();
            let file = SecretSource::File(directory.path().join("password"));
            let secret = read(&binding, &file, None).unwrap();
            assert_eq!((secret.bytes(), format!("{secret:?}")), (expected.as_bytes(), "[secret]".to_owned()));
            assert_eq!(text(&binding, &file, None).unwrap(), expected);
            let credential = SecretSource::Credential("password".to_owned());
            assert_eq!(read(&binding, &credential, Some(directory.path())).unwrap(), secret);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let binding = Arc::from("db");
        let error = |source| read(&binding, &source, None).unwrap_err().to_string();
        assert_eq!(
            error(SecretSource::File("/nowhere/pass".into())),
            "binding `db`: cannot read the secret in file `/nowhere/pass`"
        );
        assert_eq!(
            error(SecretSource::Credential("pass".to_owned())),
            "binding `db`: cannot read the secret in credential `pass`"
        );
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("pass"), b"s3cret\xff").unwrap();
        let source = SecretSource::Credential("pass".to_owned());
        let error = crate::host::chain(&text(&binding, &source, Some(directory.path())).unwrap_err());
        assert!(error.starts_with("binding `db`: cannot read the secret in credential `pass`: "), "{error}");
        assert!(error.contains("utf-8") && !error.contains("s3cret"), "{error}");
    }
}
