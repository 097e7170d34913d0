//! Files that a binding needs before it can reach anything: passwords, and what TLS takes. Read for `wapcd check`.

use std::{path::Path, sync::Arc};

use super::{BindingError, secret_file, tls};
use crate::config::{Binding, BindingSettings, SecretSource, TlsFiles};

/// What a start would refuse of the files that the settings name. A credential that only the service has is taken for good.
/// Blocks while files are read.
#[must_use]
pub fn problems(binding: &Binding, credentials: Option<&Path>) -> Vec<BindingError> {
    let name: &Arc<str> = &binding.name;
    let here = |source: &&SecretSource| credentials.is_some() || matches!(source, SecretSource::File(_));
    let of_secrets = secrets(&binding.settings).into_iter().filter(here);
    let unread = of_secrets.filter_map(|source| secret_file::read(name, source, credentials).err());
    unread.chain(files_of_tls(&binding.settings).and_then(|files| tls::client(name, files).err())).collect()
}

fn secrets(settings: &BindingSettings) -> Vec<&SecretSource> {
    match settings {
        BindingSettings::Secret(settings) => settings.secrets.values().collect(),
        settings => settings.server().and_then(|server| server.password.as_ref()).into_iter().collect(),
    }
}

/// The files of TLS, where there are some.
fn files_of_tls(settings: &BindingSettings) -> Option<&TlsFiles> {
    let files = match settings {
        BindingSettings::HttpClient(settings) => Some(&settings.tls),
        settings => settings.server().map(|server| &server.tls),
    };
    files.filter(|files| **files != TlsFiles::default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::{config::SecretSettings, host::chain};

    #[test]
    fn secrets_that_a_start_could_not_read_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("good"), "s3cret").unwrap();
        mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let file = |name: &str| SecretSource::File(at(name));
        let secrets = BTreeMap::from([
            ("a".to_owned(), file("good")),
            ("b".to_owned(), file("pipe")),
            ("c".to_owned(), SecretSource::Credential("of-the-service".to_owned())),
        ]);
        let binding = Binding::with_defaults("keys", BindingSettings::Secret(SecretSettings { secrets }));
        let told: Vec<_> = problems(&binding, None).iter().map(|error| chain(error)).collect();
        let why = format!("cannot read the secret in file `{}`: it is not a regular file", at("pipe").display());
        assert_eq!(told, [format!("binding `keys`: {why}")]);
        assert_eq!(problems(&binding, Some(directory.path())).len(), 2);
    }
}
