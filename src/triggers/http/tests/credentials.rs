//! Who may call.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

fn guarded(kind: &str, content: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), content).unwrap();
    let file = directory.path().join("secret");
    (directory, route("echo", &format!("authentication = {{ {kind} = {{ file = {file:?} }} }}")))
}

async fn status(bench: &Bench, authorization: &str) -> u16 {
    bench.send(empty(request("POST", "/").header("authorization", authorization))).await.status
}

#[actix::test]
async fn a_token_of_the_file_is_let_in_and_nothing_else() {
    let (_directory, toml) = guarded("token", "# comment\n\nalpha\n  beta  \n");
    let bench = Bench::new(&toml).await;
    let without = bench.post("/", "").await;
    assert_eq!(
        (without.problem(), without.header("www-authenticate")),
        ((401, "unauthorized".into()), "Bearer".into())
    );
    for (sent, expected) in [
        ("Bearer alpha", 200),
        ("bearer beta", 200),
        ("Bearer  beta ", 200),
        ("Bearer gamma", 401),
        ("Bearer alph", 401),
        ("Bearer alphaa", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Bearer # comment", 401),
        ("Basic alpha", 401),
        ("alpha", 401),
    ] {
        assert_eq!(status(&bench, sent).await, expected, "{sent}");
    }
    let twice = request("POST", "/").header("authorization", "Bearer alpha").header("authorization", "Bearer alpha");
    assert_eq!(bench.send(empty(twice)).await.status, 401);
    assert!(!format!("{:?}", bench.site).contains("alpha"));
}

#[actix::test]
async fn a_user_with_the_password_of_the_file_is_let_in() {
    let (_directory, toml) = guarded("basic", "ada:love:lace\nboole:\n");
    let bench = Bench::new(&toml).await;
    let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
    for (sent, expected) in [
        (basic("ada:love:lace"), 200),
        (basic("boole:"), 200),
        (basic("ada:love"), 401),
        (basic("ada"), 401),
        ("Basic ???".to_owned(), 401),
        ("Bearer ada:love:lace".to_owned(), 401),
    ] {
        assert_eq!(status(&bench, &sent).await, expected, "{sent}");
    }
    assert!(bench.post("/", "").await.header("www-authenticate").starts_with("Basic realm="));
}

#[actix::test]
async fn credentials_are_asked_for_before_the_body_is_read() {
    let (_directory, toml) = guarded("token", "alpha");
    let bench = Bench::new(&format!("limits.body = \"1B\"\n{toml}")).await;
    assert_eq!(bench.post("/", "too large").await.status, 401);
    assert_eq!(bench.site.secret_files().len(), 1);
}

#[test]
fn a_file_that_nobody_could_call_with_is_an_error_without_its_content() {
    for (kind, content, reason) in [
        ("token", "", "no credentials"),
        ("token", "# only\n\n", "no credentials"),
        ("basic", "ada:x\nhush\n", "line 2"),
    ] {
        let (_directory, toml) = guarded(kind, content);
        let error = site(&toml).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("secret`") && !error.contains("hush"), "{error}");
    }
    let pipe = tempfile::tempdir().unwrap();
    let at = pipe.path().join("secret");
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let toml = route("echo", &format!("authentication = {{ token = {{ file = \"{}\" }} }}", at.display()));
    let error = site(&toml).unwrap_err().to_string();
    assert!(error.contains("it is not a regular file"), "{error}");
    let error = site(&route("echo", "authentication = { token = { file = \"/nowhere/token\" } }")).unwrap_err();
    assert!(error.to_string().contains("`/nowhere/token`"), "{error}");
}
