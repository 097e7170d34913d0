//! What goes wrong in databases, and what guests do to them.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::timeout;
use wapcd::{
    bindings::BackendState,
    config::{Rules, SqlBackend, SqlRules},
};

use crate::{
    harness::{Opened, SOON, open, try_open},
    servers::{PASSWORD, Postgres},
    sql::{binding, err, execute, ok, rows, sqlite},
};

/// A query without rows and without an end.
const ENDLESS: &str = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT n FROM r WHERE n = 2";

/// Waits for an answer that does not come, and goes away.
async fn give_up(db: &Opened, operation: &str, request: Value) {
    let waited = timeout(Duration::from_millis(300), db.call("m", operation, request)).await;
    assert!(waited.is_err(), "{waited:?}");
}

fn postgres(server: &Postgres) -> Opened {
    open(&binding(SqlBackend::Postgres { server: server.server() }))
}

fn is_unavailable(answer: &Result<Value, String>) -> bool {
    answer.as_ref().is_err_and(|error| error.starts_with("unavailable: "))
}

#[actix::test]
async fn endless_statements_end_with_their_callers_and_hold_up_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let server = Postgres::start();
    for db in [open(&binding(sqlite(directory.path()))), postgres(&server)] {
        execute(&db, "CREATE TABLE t (n BIGINT)").await;
        for _ in 0..3 {
            // More of them than there are threads or connections.
            let all = (0..6).map(|_| give_up(&db, "query", json!({ "sql": ENDLESS })));
            let (_, well) = futures_util::future::join(futures_util::future::join_all(all), db.check()).await;
            assert_eq!(well, Ok(()));
            let insert = format!("INSERT INTO t {ENDLESS}");
            give_up(&db, "execute", json!({ "sql": insert })).await;
            let batch = json!({"statements": [{"sql": "INSERT INTO t VALUES (1)"}, { "sql": insert }]});
            give_up(&db, "batch", batch).await;
            let start = Instant::now();
            execute(&db, "INSERT INTO t VALUES (7)").await;
            rows(&db, "SELECT n FROM t").await;
            assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        }
        assert_eq!(rows(&db, "SELECT n FROM t").await, json!([{"n": 7}, {"n": 7}, {"n": 7}]));
    }
}

#[actix::test]
async fn endless_statements_are_no_failures_of_the_server() {
    let server = Postgres::start();
    let db = postgres(&server);
    db.until(BackendState::Connected).await;
    for _ in 0..5 {
        give_up(&db, "query", json!({ "sql": ENDLESS })).await;
    }
    rows(&db, "SELECT 1 AS one").await;
    assert_eq!(db.changes(), [BackendState::Connected]);
    // None is left at the server.
    let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() \
               AND backend_type = 'client backend'";
    let start = Instant::now();
    while rows(&db, sql).await != json!([{"n": 0}]) {
        assert!(start.elapsed() < SOON, "a statement outlives its caller");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[actix::test]
async fn a_server_that_is_killed_is_down_at_once_and_back_by_itself() {
    let mut server = Postgres::start();
    let db = postgres(&server);
    execute(&db, "CREATE TABLE t (n BIGINT)").await;
    execute(&db, "INSERT INTO t VALUES (1)").await;
    let running = {
        let db = db.clone();
        actix::spawn(async move { db.call("m", "query", json!({"sql": "SELECT pg_sleep(60)::text AS x"})).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.kill();
    let answer = running.await.unwrap();
    assert!(is_unavailable(&answer), "{answer:?}");
    while db.status().state == BackendState::Connected {
        let answer = db.call("m", "query", json!({"sql": "SELECT n FROM t"})).await;
        assert!(is_unavailable(&answer), "{answer:?}");
    }
    let start = Instant::now();
    err(&db, "query", json!({"sql": "SELECT n FROM t"}), "unavailable", "the server of binding `db` is down").await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    db.check().await.unwrap_err();
    server.restart();
    db.until(BackendState::Connected).await;
    assert_eq!(rows(&db, "SELECT n FROM t").await, json!([{"n": 1}]));
}

#[actix::test]
async fn a_server_that_restarts_in_the_middle_of_calls_loses_nothing_that_was_acknowledged() {
    let mut server = Postgres::start();
    let db = postgres(&server);
    execute(&db, "CREATE TABLE t (n BIGINT PRIMARY KEY)").await;
    let writer = {
        let db = db.clone();
        // The server's restart blocks this thread.
        std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                let mut done = Vec::new();
                for n in 0..400 {
                    let request = json!({"sql": "INSERT INTO t VALUES ($1)", "params": [n]});
                    match db.call("m", "execute", request).await {
                        Ok(_) => done.push(n),
                        Err(error) => {
                            assert!(error.starts_with("unavailable: "), "{error}");
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
                done
            })
        })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.restart();
    let done = writer.join().unwrap();
    db.until(BackendState::Connected).await;
    for n in &done {
        let query = json!({"sql": "SELECT n FROM t WHERE n = $1", "params": [n]});
        assert_eq!(ok(&db, "query", query).await["rows"], json!([{ "n": n }]));
    }
    assert!(!done.is_empty());
}

#[actix::test]
async fn a_server_that_stands_still_opens_the_circuit_and_closes_it_when_it_goes_on() {
    let server = Postgres::start();
    let db = postgres(&server);
    rows(&db, "SELECT 1 AS one").await;
    server.pause();
    let start = Instant::now();
    while db.status().state == BackendState::Connected {
        assert!(start.elapsed() < SOON, "{:?}", db.status());
        timeout(Duration::from_millis(100), db.call("m", "query", json!({"sql": "SELECT 1 AS one"}))).await.ok();
    }
    err(&db, "query", json!({"sql": "SELECT 1 AS one"}), "unavailable", "is down").await;
    server.resume();
    db.until(BackendState::Connected).await;
    rows(&db, "SELECT 1 AS one").await;
}

#[actix::test]
async fn calls_that_waited_behind_others_in_vain_do_not_speak_for_a_server_that_stands_still() {
    let server = Postgres::start();
    let mut settings = server.server();
    settings.connections = 1;
    let db = open(&binding(SqlBackend::Postgres { server: settings }));
    rows(&db, "SELECT 1 AS one").await;
    server.pause();
    let start = Instant::now();
    while db.status().state == BackendState::Connected {
        assert!(start.elapsed() < SOON, "{:?}", db.status());
        let call = || timeout(Duration::from_millis(100), db.call("m", "query", json!({"sql": "SELECT 1 AS one"})));
        futures_util::future::join_all((0..8).map(|_| call())).await;
    }
    let start = Instant::now();
    err(&db, "query", json!({"sql": "SELECT 1 AS one"}), "unavailable", "is down").await;
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    server.resume();
    db.until(BackendState::Connected).await;
    rows(&db, "SELECT 1 AS one").await;
}

#[actix::test]
async fn a_server_that_is_absent_at_the_start_is_waited_for_by_the_binding_only() {
    let mut server = Postgres::start();
    server.kill();
    let db = postgres(&server);
    err(&db, "query", json!({"sql": "SELECT 1 AS one"}), "unavailable", "is down").await;
    server.restart();
    db.until(BackendState::Connected).await;
    rows(&db, "SELECT 1 AS one").await;
}

#[actix::test]
async fn a_wrong_password_is_told_without_it() {
    let server = Postgres::start();
    let mut settings = server.server();
    settings.user = Some("nobody".into());
    let db = open(&binding(SqlBackend::Postgres { server: settings }));
    let error = db.call("m", "query", json!({"sql": "SELECT 1 AS one"})).await.unwrap_err();
    assert!(error.starts_with("unavailable: ") && error.contains("password authentication failed"), "{error}");
    assert!(!format!("{error}{:?}", db.status()).contains(PASSWORD), "{error}");
}

#[actix::test]
async fn a_session_is_no_guests_and_nothing_of_it_lasts() {
    let server = Postgres::start();
    let mut settings = server.server();
    settings.connections = 1;
    let db = open(&binding(SqlBackend::Postgres { server: settings }));
    execute(&db, "CREATE TABLE t (n BIGINT)").await;
    for sql in
        ["SET search_path = x", "LISTEN x", "COPY t TO PROGRAM 'true'", "DO $$ BEGIN END $$", "DISCARD ALL", ";BEGIN"]
    {
        err(&db, "execute", json!({ "sql": sql }), "bad_request", "").await;
    }
    for sql in [
        "SELECT set_config('search_path', 'nowhere', false) AS x",
        "SELECT set_config('default_transaction_read_only', 'on', false) AS x",
        "SELECT pg_advisory_lock(1)::text AS x",
    ] {
        rows(&db, sql).await;
    }
    execute(&db, "CREATE TEMP TABLE mine (n BIGINT)").await;
    execute(&db, "INSERT INTO t VALUES (1)").await;
    err(&db, "query", json!({"sql": "SELECT n FROM mine"}), "bad_request", "mine").await;
    assert_eq!(rows(&db, "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'").await, json!([{"n": 0}]));
    // Neither can a reader make itself a writer.
    let reader = db.with_rules(Rules::Sql(SqlRules { read_only: true, tables: None }));
    let sql = "WITH x AS (SELECT set_config('transaction_read_only', 'off', true)) INSERT INTO t SELECT 2 FROM x";
    reader.call("m", "execute", json!({ "sql": sql })).await.unwrap_err();
    let batch = json!({"statements": [
        {"sql": "ANALYZE t"},
        {"sql": "CREATE TABLE x AS SELECT set_config('transaction_read_only', 'off', false)"},
        {"sql": "DELETE FROM t"},
    ]});
    reader.call("m", "batch", batch).await.unwrap_err();
    let sql = "SELECT set_config('transaction_read_only', 'off', true) AS x";
    err(&reader, "query", json!({ "sql": sql }), "bad_request", "read-write").await;
    assert_eq!(rows(&db, "SELECT n FROM t").await, json!([{"n": 1}]));
}

#[actix::test]
async fn statements_that_a_function_prepares_or_throws_away_are_in_nobodys_way() {
    let server = Postgres::start();
    let mut settings = server.server();
    settings.connections = 1;
    let db = open(&binding(SqlBackend::Postgres { server: settings }));
    for sql in [
        "CREATE TYPE one AS ENUM ('a')",
        "CREATE TYPE two AS ENUM ('b')",
        "CREATE FUNCTION run(what TEXT) RETURNS INT LANGUAGE plpgsql AS 'BEGIN EXECUTE what; RETURN 1; END'",
        "CREATE FUNCTION take_names() RETURNS INT LANGUAGE plpgsql AS $$ BEGIN FOR i IN 0..2000 LOOP \
             BEGIN EXECUTE 'PREPARE s' || i || ' AS SELECT 1'; EXCEPTION WHEN duplicate_prepared_statement THEN END; \
         END LOOP; RETURN 1; END $$",
    ] {
        execute(&db, sql).await;
    }
    rows(&db, "SELECT take_names()").await;
    for _ in 0..3 {
        rows(&db, "SELECT 1 AS one").await;
    }
    // The client keeps the statement with which it asks for types.
    rows(&db, "SELECT 'a'::one AS a").await;
    rows(&db, "SELECT run('DEALLOCATE ALL')").await;
    let first = db.call("m", "query", json!({"sql": "SELECT 'b'::two AS b"})).await;
    assert!(first.is_ok() || is_unavailable(&first), "{first:?}");
    assert_eq!(rows(&db, "SELECT 'b'::two AS b").await, json!([{"b": "b"}]));
}

#[actix::test]
async fn a_module_that_keeps_all_connections_busy_holds_up_no_other_for_longer_than_a_turn() {
    const SLOW: &str =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000) SELECT max(n) AS n FROM c";
    let directory = tempfile::tempdir().unwrap();
    let server = Postgres::start();
    for db in [open(&binding(sqlite(directory.path()))), postgres(&server)] {
        let one = Instant::now();
        rows(&db, SLOW).await;
        let one = one.elapsed();
        let flood: Vec<_> = (0..80)
            .map(|_| {
                let db = db.clone();
                actix::spawn(async move { db.call("flood", "query", json!({ "sql": SLOW })).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let start = Instant::now();
        db.call("other", "query", json!({"sql": "SELECT 1 AS one"})).await.unwrap();
        let waited = start.elapsed();
        let left = flood.iter().filter(|call| !call.is_finished()).count();
        assert!(left > 40, "{left} of 80 were left after {waited:?}; one takes {one:?}");
        for call in flood {
            call.abort();
        }
    }
}

#[actix::test]
async fn what_functions_triggers_and_keys_reach_is_held_against_tables_too() {
    let server = Postgres::start();
    let db = postgres(&server);
    for sql in [
        "CREATE TABLE open (id BIGINT PRIMARY KEY, at SERIAL)",
        "CREATE TABLE secret (id BIGINT PRIMARY KEY, word TEXT)",
        "INSERT INTO secret VALUES (1, 'hidden')",
        "CREATE FUNCTION peek() RETURNS TEXT LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT word FROM secret); END'",
        "CREATE TABLE parts (id BIGINT) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (9)",
        "CREATE TYPE mood AS ENUM ('good', 'bad')",
        "CREATE TABLE moods (mood mood)",
        "INSERT INTO moods VALUES ('good')",
    ] {
        execute(&db, sql).await;
    }
    let tables = Some(["open", "parts", "moods"].map(str::to_owned).to_vec());
    let guest = db.with_rules(Rules::Sql(SqlRules { read_only: false, tables }));
    execute(&guest, "INSERT INTO open VALUES (1)").await;
    execute(&guest, "INSERT INTO parts VALUES (1)").await;
    assert_eq!(rows(&guest, "SELECT id FROM parts").await, json!([{"id": 1}]));
    assert_eq!(rows(&guest, "SELECT mood FROM moods").await, json!([{"mood": "good"}]));
    for sql in [
        "SELECT peek() AS word",
        "SELECT query_to_xml('SELECT word FROM secret', true, true, '')::text AS word",
        "SELECT rolname FROM pg_roles",
        // These the whole server has in common.
        "SELECT rolname, rolpassword FROM pg_authid",
        "SELECT datname FROM pg_database",
        "SELECT table_name FROM information_schema.tables",
        "SELECT set_config('search_path', 'pg_catalog', true) AS x, relname FROM pg_class",
        "SELECT * INTO copied FROM open",
    ] {
        let error = guest.call("m", "query", json!({ "sql": sql })).await.unwrap_err();
        assert!(
            !error.contains("hidden") && (error.contains("`tables`") || error.contains("execute")),
            "{sql}: {error}"
        );
    }
    // An error is no way out for what must not be read.
    let sql = "SELECT query_to_xml('SELECT word FROM secret', true, true, '')::text::int AS word";
    err(&guest, "query", json!({ "sql": sql }), "bad_request", "SQLSTATE 22P02").await;
}

#[actix::test]
async fn types_of_postgres_are_answered_as_documented() {
    let server = Postgres::start();
    let db = postgres(&server);
    for (expression, expected) in [
        ("1::int2", json!(1)),
        ("0.1::float4", json!(0.1)),
        ("'NaN'::float8", json!("NaN")),
        ("12345678901234567890.10::numeric", json!("12345678901234567890.10")),
        ("-0.0001::numeric", json!("-0.0001")),
        ("1e20::numeric", json!("100000000000000000000")),
        ("'a'::char(3)", json!("a  ")),
        ("'2026-01-02 03:04:05.6+02'::timestamptz", json!("2026-01-02T01:04:05.600Z")),
        ("'2026-01-02 03:04:05'::timestamp", json!("2026-01-02T03:04:05")),
        ("'infinity'::timestamptz", json!("infinity")),
        ("'2026-01-02'::date", json!("2026-01-02")),
        ("'03:04:05.5'::time", json!("03:04:05.500")),
        ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid", json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("'{\"a\": [1]}'::json", json!("{\"a\": [1]}")),
        ("'{\"a\":[1]}'::jsonb", json!("{\"a\": [1]}")),
        ("ARRAY[1,NULL,3]::int8[]", json!([1, null, 3])),
        ("ARRAY['a','b']", json!(["a", "b"])),
        ("'{}'::text[]", json!([])),
    ] {
        assert_eq!(rows(&db, &format!("SELECT {expression} AS v")).await, json!([{ "v": expected }]), "{expression}");
    }
    for (ty, param, expected) in [
        ("int4", json!(5), json!(5)),
        ("int4", json!("5"), json!(5)),
        ("numeric", json!(0.5), json!("0.5")),
        ("timestamptz", json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05Z")),
        ("uuid", json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8")),
        ("jsonb", json!("{\"a\":1}"), json!("{\"a\": 1}")),
        ("text[]", json!(["a\"\\", null, "{,}"]), json!(["a\"\\", null, "{,}"])),
        ("bytea", json!({"$bytes": "AP8="}), json!({"$bytes": "AP8="})),
        ("bool", Value::Null, Value::Null),
    ] {
        let query = json!({"sql": format!("SELECT $1::{ty} AS v"), "params": [param]});
        assert_eq!(ok(&db, "query", query).await["rows"], json!([{ "v": expected }]), "{ty}");
    }
    for (ty, param, text) in [
        ("int4", json!(5_000_000_000_i64), "params[0]"),
        ("int4", json!("five"), "params[0]"),
        ("int4", json!(1.5), "field `params[0]`: a float where the statement expects int4"),
        ("text", json!(5), "field `params[0]`: an int where the statement expects text"),
        ("bytea", json!("x"), "field `params[0]`: text where the statement expects bytea"),
    ] {
        let query = json!({"sql": format!("SELECT $1::{ty} AS v"), "params": [param]});
        err(&db, "query", query, "bad_request", text).await;
    }
    err(&db, "query", json!({"sql": "SELECT '(1,2)'::point AS v"}), "bad_request", "column `v` has the type point")
        .await;
    err(&db, "query", json!({"sql": "SELECT ARRAY[[1]] AS v"}), "bad_request", "").await;
}

#[actix::test]
async fn no_statement_leaves_the_file_of_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&binding(sqlite(directory.path())));
    execute(&db, "CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, b BOOLEAN)").await;
    let other = directory.path().join("other");
    for sql in [
        format!("ATTACH '{}' AS other", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
        "PRAGMA journal_mode = DELETE".to_owned(),
        "CREATE TEMP TABLE mine (n)".to_owned(),
        "SELECT * FROM pragma_table_info('t')".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "INSERT INTO sqlite_schema VALUES (1, 2, 3, 4, 5)".to_owned(),
    ] {
        for operation in ["query", "execute"] {
            let error = db.call("m", operation, json!({ "sql": sql })).await.unwrap_err();
            assert!(error.starts_with("not_allowed: ") || error.starts_with("bad_request: "), "{sql}: {error}");
        }
    }
    assert!(!other.exists());
    // What changes tables goes on to work.
    execute(&db, "ALTER TABLE t ADD COLUMN c TEXT NOT NULL DEFAULT 'x' CHECK (c <> '')").await;
    execute(&db, "ALTER TABLE t RENAME COLUMN c TO d").await;
    execute(&db, "CREATE INDEX i ON t (d)").await;
    assert_eq!(execute(&db, "INSERT INTO t (b) VALUES (1)").await, json!({"changed": 1, "last_id": 1}));
    assert_eq!(execute(&db, "UPDATE t SET b = 0").await, json!({"changed": 1}));
    let skipped = "INSERT INTO t (n) VALUES (1) ON CONFLICT DO NOTHING";
    assert_eq!(execute(&db, skipped).await, json!({"changed": 0}));
    err(&db, "execute", json!({"sql": "INSERT INTO t (d) VALUES ('')"}), "conflict", "CHECK constraint failed").await;
    // Parameters without numbers are taken in their order; names are not.
    let query = json!({"sql": "SELECT ? AS a, ?2 AS b", "params": [1, "x"]});
    assert_eq!(ok(&db, "query", query).await["rows"], json!([{"a": 1, "b": "x"}]));
    for sql in ["SELECT :name AS a", "SELECT $1 AS a, ? AS b", "SELECT $2 AS a"] {
        err(&db, "query", json!({"sql": sql, "params": [1, 2]}), "bad_request", "").await;
    }
    err(&db, "query", json!({"sql": "SELECT $1 AS a", "params": [[1]]}), "bad_request", "json_each").await;
    err(&db, "query", json!({"sql": "SELECT length(zeroblob(100000000)) AS n"}), "too_large", "").await;
    let large: Vec<_> = (0..30).map(|n| format!("CAST(zeroblob(60000000) AS TEXT) AS b{n}")).collect();
    let request = json!({"sql": format!("SELECT {}", large.join(", "))});
    err(&db, "query", request, "unavailable", "memory").await;
    err(&db, "query", json!({"sql": "SELECT zeroblob(60000000) AS b"}), "too_large", "65536 bytes").await;
    rows(&db, "SELECT 1 AS one").await;
}

#[actix::test]
async fn a_lock_of_another_process_is_waited_for_as_long_as_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&binding(sqlite(directory.path())));
    execute(&db, "CREATE TABLE t (n BIGINT)").await;
    let other = rusqlite::Connection::open(directory.path().join("db.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
    err(&db, "execute", json!({"sql": "INSERT INTO t VALUES (2)"}), "unavailable", "locked").await;
    assert_eq!(rows(&db, "SELECT n FROM t").await, json!([]));
    other.execute_batch("COMMIT").unwrap();
    execute(&db, "INSERT INTO t VALUES (2)").await;
    assert_eq!(rows(&db, "SELECT count(*) AS n FROM t").await, json!([{"n": 2}]));
}

#[actix::test]
async fn what_sqlite_says_of_a_statement_does_not_repeat_it() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&binding(sqlite(directory.path())));
    let sql = format!("SELECT {}", "(".repeat(100_000));
    let error = db.call("m", "query", json!({ "sql": sql })).await.unwrap_err();
    assert!(error.starts_with("bad_request: ") && error.len() < 200, "{error}");
    // One comparison has an end.
    let sql = format!("SELECT 'a' LIKE '%{}' AS x", "a".repeat(300));
    err(&db, "query", json!({ "sql": sql }), "bad_request", "too complex").await;
    let sql = "SELECT instr(zeroblob(30000000), CAST(zeroblob(15000000) || x'01' AS BLOB)) AS at";
    assert_eq!(rows(&db, sql).await, json!([{"at": 0}]));
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("db.sqlite"), "x".repeat(5000)).unwrap();
    let error = try_open(&binding(sqlite(directory.path()))).err().unwrap();
    assert!(error.contains("db.sqlite") && error.contains("not a database"), "{error}");
    let error = try_open(&binding(sqlite(Path::new("/proc/nowhere")))).err().unwrap();
    assert!(error.contains("/proc/nowhere"), "{error}");
}

/// Tells the copy of this program that writes where to.
const WRITE_TO: &str = "WAPCD_TEST_SQL_WRITES_TO";

#[actix::test]
async fn a_process_that_is_killed_while_it_writes_loses_nothing_that_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(directory) = std::env::var_os(WRITE_TO) {
        return write_for_ever(Path::new(&directory)).await;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture"]);
    command.arg("sql_faults::a_process_that_is_killed_while_it_writes_loses_nothing_that_it_acknowledged");
    let mut child = command.env(WRITE_TO, directory.path()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| line.strip_prefix("written ")?.parse::<i64>().ok());
    let mut last = acknowledged.take(300).last().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let db = open(&binding(sqlite(directory.path())));
    let found = rows(&db, "SELECT count(*) AS n, max(n) AS last FROM t").await;
    let (count, found) = (found[0]["n"].as_i64().unwrap(), found[0]["last"].as_i64().unwrap());
    last += 1;
    assert!(found >= last - 1 && count == found + 1, "{count} rows up to {found}, {last} were acknowledged");
    assert_eq!(rows(&db, "SELECT count(*) AS n FROM pairs").await, json!([{"n": 2 * count}]));
}

async fn write_for_ever(directory: &Path) {
    let db = open(&binding(sqlite(directory)));
    execute(&db, "CREATE TABLE t (n BIGINT)").await;
    execute(&db, "CREATE TABLE pairs (n BIGINT)").await;
    for n in 0.. {
        let one = |table| json!({"sql": format!("INSERT INTO {table} VALUES ($1)"), "params": [n]});
        ok(&db, "batch", json!({"statements": [one("pairs"), one("t"), one("pairs")]})).await;
        std::io::stdout().write_all(format!("written {n}\n").as_bytes()).unwrap();
    }
}
