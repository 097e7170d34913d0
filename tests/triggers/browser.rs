//! A browser's fetch from pages of other origins: what CORS grants it may read, and nothing else.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
};

use crate::{
    harness::{Home, module},
    web,
};

/// Asks as pages do, and writes what came of it where whoever opened the page finds it.
const PAGE: &str = r#"<!doctype html><title>asks</title><pre id="outcome">nothing yet</pre><script>
const outcome = [];
async function ask(name, path, options) {
  let line;
  try {
    const answer = await fetch("http://DAEMON" + path, { method: "POST", ...options });
    const id = answer.headers.get("wapcd-call-id");
    line = answer.status + " " + await answer.text() + " " + (id > 0 ? "exposed" : "hidden");
  } catch (error) {
    line = error.name;
  }
  outcome.push("[" + name + ": " + line + "]");
}
const json = { "content-type": "application/json" };
const password = { authorization: "Basic " + btoa("ada:secret") };
(async () => {
  await ask("simple", "/open/echo", { body: "hi" });
  await ask("preflight", "/open/echo", { headers: { ...json, "x-asked": "1" }, body: "hi" });
  await ask("method", "/open/echo", { method: "PUT", body: "hi" });
  await ask("header", "/open/echo", { headers: { "x-other": "1" }, body: "hi" });
  await ask("error", "/open/zero", { body: "hi" });
  await ask("ungranted", "/open/echo", { credentials: "include", body: "hi" });
  await ask("granted", "/known/echo", { credentials: "include", headers: password, body: "hi" });
  await ask("unknown", "/known/echo", { credentials: "omit", body: "hi" });
  await ask("closed", "/closed/echo", { body: "hi" });
  document.getElementById("outcome").textContent = outcome.join("\n");
})();
</script>"#;

/// Serves the page to whoever asks for `/`, until the process ends.
fn serve(listener: TcpListener, daemon: SocketAddr) {
    let page = Arc::new(PAGE.replace("DAEMON", &daemon.to_string()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = Arc::clone(&page);
            // Browsers open connections that they do not use.
            std::thread::spawn(move || answer(stream, &page).unwrap_or_default());
        }
    });
}

/// Answers one request, which has a head alone.
fn answer(mut stream: TcpStream, page: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let (status, body) = if request.starts_with(b"GET / ") { ("200 OK", page) } else { ("404 -", "") };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes())
}

/// What the page has when it has asked everything.
fn visit(url: &str) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("timeout")
        .args([
            "180",
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ])
        .args(["--disable-background-networking", "--disable-component-update", "--no-proxy-server"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        // Its clock stands still while it waits for answers, and what remains of this passes at once.
        .args(["--virtual-time-budget=20000", "--dump-dom", url])
        .env("HOME", profile.path())
        .output()
        .unwrap_or_else(|error| panic!("cannot run chromium, which scripts/servers installs: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("</html>"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_browser_reads_what_its_page_may_and_nothing_else() {
    let [listed, other] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let [listed_at, other_at] = [&listed, &other].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    let route = |name: &str, keys: &str| {
        format!(
            "[[triggers.web.routes]]\npath = \"/{name}/{{op}}\"\nmodule = \"m\"\noperation = \"{{op}}\"\n\
             methods = [\"POST\"]\n{keys}\n"
        )
    };
    let granted = format!("origins = [\"{listed_at}\"], expose = [\"wapcd-call-id\"]");
    let home = Home::new(&format!(
        "{}[triggers.web]\ntype = \"http\"\nlisten = \"127.0.0.1:0\"\n{}{}{}",
        module("m", ""),
        route("open", &format!("cors = {{ {granted}, headers = [\"content-type\", \"x-asked\"] }}")),
        route(
            "known",
            &format!(
                "cors = {{ {granted}, headers = [\"authorization\"], credentials = true }}\n\
                 authentication = {{ basic = {{ file = \"users\" }} }}"
            )
        ),
        route("closed", ""),
    ));
    home.write("users", "ada:secret\n");
    let daemon = home.start();
    web::wait_until_up(&daemon, "web");
    let address = web::address(&daemon, "web", 0);
    serve(listed, address);
    serve(other, address);

    let seen = visit(&listed_at);
    for line in [
        "[simple: 200 hi exposed]",
        "[preflight: 200 hi exposed]",
        "[method: TypeError]",
        "[header: TypeError]",
        "[error: 502 ",
        "[ungranted: TypeError]",
        "[granted: 200 hi exposed]",
        "[unknown: 401 ",
        "[closed: TypeError]",
    ] {
        assert!(seen.contains(line), "{line} is not in {seen}");
    }
    let seen = visit(&other_at);
    assert_eq!(seen.matches(": TypeError]").count(), 9, "{seen}");
}
