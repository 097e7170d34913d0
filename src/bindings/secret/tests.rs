//! The `secret` binding as its guests and its operator see it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path, sync::Arc};

use tempfile::TempDir;

use crate::{
    bindings::{Answer, Binding, BindingCall, BindingContext, BindingFactory, ModuleCaller, testing::call},
    config::{BindingSettings, Rules, SecretSettings, SecretSource},
};

struct Nobody;

impl ModuleCaller for Nobody {
    fn call(&self, call: BindingCall) -> Answer {
        call.no_such_operation("module", &[]).into()
    }
}

fn settings(directory: &Path) -> SecretSettings {
    let sources =
        [("api", SecretSource::File(directory.join("api.key"))), ("db", SecretSource::Credential("db".to_owned()))];
    SecretSettings { secrets: sources.map(|(name, source)| (name.to_owned(), source)).into() }
}

fn home() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("api.key"), "first\n").unwrap();
    fs::write(directory.path().join("db"), b"\xff\x00").unwrap();
    directory
}

/// The context has the threads that read.
fn start(directory: &Path) -> Result<(Arc<dyn BindingFactory>, BindingContext), String> {
    let context = BindingContext { credentials: Some(directory.to_owned()), ..BindingContext::new(Arc::new(Nobody)) };
    let settings = BindingSettings::Secret(settings(directory));
    let binding = crate::config::Binding::with_defaults("vault", settings);
    let factory = crate::bindings::start_backend(&binding, &context).map_err(|error| crate::host::chain(&error))?;
    Ok((factory, context))
}

/// What a module whose link allows `api`, `db` and `gone` reads.
async fn get(binding: &dyn Binding, operation: &str, name: &str) -> Result<String, String> {
    let mut call = call(operation, format!("{{\"name\":\"{name}\"}}"));
    Arc::make_mut(&mut call.link).rules = Rules::Secrets(["api", "db", "gone"].map(str::to_owned).to_vec());
    let reply = match binding.call(call) {
        Answer::Now(reply) => reply,
        Answer::Later(reply) => reply.await,
    };
    reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn secrets_are_read_from_files_and_credentials_as_they_are_now() {
    let home = home();
    let (factory, _context) = start(home.path()).unwrap();
    let binding = factory.make(0);
    assert_eq!(get(&*binding, "get", "api").await.unwrap(), r#"{"value":"Zmlyc3Q="}"#);
    assert_eq!(get(&*binding, "get", "db").await.unwrap(), r#"{"value":"/wA="}"#);
    // In place, at the same length, within the same tick of the file system's clock.
    fs::write(home.path().join("api.key"), "other\n").unwrap();
    assert_eq!(get(&*binding, "get", "api").await.unwrap(), r#"{"value":"b3RoZXI="}"#);
}

#[tokio::test]
async fn what_the_link_does_not_name_is_not_allowed_whether_it_is_there_or_not() {
    let home = home();
    let (factory, _context) = start(home.path()).unwrap();
    let binding = factory.make(0);
    let error = "not_allowed: secret `root` is not among the `secrets` of the link";
    assert_eq!(get(&*binding, "get", "root").await.unwrap_err(), error);
    assert_eq!(get(&*binding, "get", "gone").await.unwrap_err(), "not_found: binding `vault` has no secret `gone`");
    let Answer::Now(reply) = binding.call(call("get", r#"{"name":"api"}"#)) else { panic!("refused at once") };
    assert!(reply.unwrap_err().to_string().starts_with("not_allowed: "));
    let error = "no_such_operation: binding `vault` has no operation `set`: get";
    assert_eq!(get(&*binding, "set", "api").await.unwrap_err(), error);
}

#[tokio::test]
async fn a_secret_that_went_away_is_unavailable_and_comes_back() {
    let home = home();
    let (factory, _context) = start(home.path()).unwrap();
    let binding = factory.make(0);
    fs::rename(home.path().join("api.key"), home.path().join("away")).unwrap();
    let error = get(&*binding, "get", "api").await.unwrap_err();
    assert_eq!(error, "unavailable: secret `api` of binding `vault` cannot be read: the daemon's log says why");
    fs::rename(home.path().join("away"), home.path().join("api.key")).unwrap();
    assert_eq!(get(&*binding, "get", "api").await.unwrap(), r#"{"value":"Zmlyc3Q="}"#);
}

#[test]
fn a_missing_secret_keeps_the_binding_from_starting_and_is_named() {
    let home = home();
    fs::remove_file(home.path().join("db")).unwrap();
    let error = start(home.path()).map(|_| ()).unwrap_err();
    assert!(error.starts_with("binding `vault`: cannot read the secret in credential `db`: No such file"), "{error}");
    fs::remove_file(home.path().join("api.key")).unwrap();
    let error = start(home.path()).map(|_| ()).unwrap_err();
    assert!(error.contains("cannot read the secret in file `") && error.contains("/api.key`"), "{error}");
}
