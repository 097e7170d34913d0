//! What every backend of `sql` does alike.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wapcd::config::{Binding, BindingSettings, Durability, Rules, SqlBackend, SqlRules, SqlSettings};

use crate::{
    harness::{Bin, Format, Opened, open},
    servers::Postgres,
};

/// A binding whose answers have at most ten rows and 64 KiB.
pub(crate) fn binding(backend: SqlBackend) -> Binding {
    let mut binding = Binding::with_defaults("db", BindingSettings::Sql(SqlSettings { backend, max_rows: 10 }));
    binding.limits.max_response = 64 * 1024;
    binding
}

/// SQLite in that directory.
pub(crate) fn sqlite(directory: &std::path::Path) -> SqlBackend {
    SqlBackend::Sqlite {
        path: directory.join("db.sqlite"),
        durability: Durability::Immediate,
        busy_timeout: Duration::from_millis(200),
    }
}

#[actix::test]
async fn sqlite_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&open(&binding(sqlite(directory.path())))).await;
}

#[actix::test]
async fn postgres_conforms() {
    let server = Postgres::start();
    conforms(&open(&binding(SqlBackend::Postgres { server: server.server() }))).await;
}

#[actix::test]
async fn postgres_conforms_over_tls() {
    let server = Postgres::with_tls();
    conforms(&open(&binding(SqlBackend::Postgres { server: server.server() }))).await;
}

/// The answer that must be there.
pub(crate) async fn ok(db: &Opened, operation: &str, request: Value) -> Value {
    let asked = request.to_string();
    db.call("m", operation, request).await.unwrap_or_else(|error| panic!("{operation} {asked}: {error}"))
}

/// The error that must be there, with its kind.
pub(crate) async fn err(db: &Opened, operation: &str, request: Value, kind: &str, text: &str) {
    let asked = request.to_string();
    match db.call("m", operation, request).await {
        Ok(answer) => panic!("{operation} {asked}: {answer}"),
        Err(error) => {
            assert!(error.starts_with(&format!("{kind}: ")) && error.contains(text), "{operation} {asked}: {error}");
        }
    }
}

pub(crate) async fn execute(db: &Opened, sql: &str) -> Value {
    ok(db, "execute", json!({ "sql": sql })).await
}

pub(crate) async fn rows(db: &Opened, sql: &str) -> Value {
    ok(db, "query", json!({ "sql": sql })).await["rows"].clone()
}

async fn conforms(db: &Opened) {
    db.check().await.unwrap();
    values_keep_their_types(db).await;
    rows_are_bounded(db).await;
    parameters_are_never_sql(db).await;
    changes_are_counted(db).await;
    batches_are_all_or_nothing(db).await;
    requests_are_checked(db).await;
    transactions_do_not_leak(db).await;
    rules_are_kept(db).await;
    many_at_once(db).await;
    db.check().await.unwrap();
}

async fn values_keep_their_types(db: &Opened) {
    execute(db, "CREATE TABLE typed (id BIGINT PRIMARY KEY, b BOOLEAN, f DOUBLE PRECISION, t TEXT, x BYTEA)").await;
    let insert = "INSERT INTO typed (id, b, f, t, x) VALUES ($1, $2, $3, $4, $5)";
    let bytes = json!({"$bytes": "AP8="});
    for (id, b, f, t, x) in [
        (json!(i64::MIN), json!(true), json!(0.1), json!("ü'\"\\"), bytes.clone()),
        (json!(9_007_199_254_740_993_i64), json!(false), json!(1e300), json!(""), json!({"$bytes": ""})),
        (json!(i64::MAX), Value::Null, Value::Null, Value::Null, Value::Null),
    ] {
        let params = json!([id, b, f, t, x]);
        let changed = ok(db, "execute", json!({"sql": insert, "params": params})).await;
        assert_eq!(changed["changed"], 1);
        let query = json!({"sql": "SELECT id, b, f, t, x FROM typed WHERE id = $1", "params": [id]});
        let answer = ok(db, "query", query).await;
        assert_eq!(answer["columns"], json!(["id", "b", "f", "t", "x"]));
        assert_eq!(answer["rows"], json!([{"id": id, "b": b, "f": f, "t": t, "x": x}]));
        assert_eq!(answer["more"], false);
    }
    in_messagepack(db).await;
    // A whole number stays a float in a column of floats, and an int an int.
    let sql = "INSERT INTO typed (id, f) VALUES ($2, $1)";
    ok(db, "execute", json!({"sql": sql, "params": [2.0, 2]})).await;
    let query = json!({"sql": "SELECT f, id FROM typed WHERE id = $1", "params": [2]});
    assert_eq!(ok(db, "query", query).await["rows"].to_string(), r#"[{"f":2.0,"id":2}]"#);
}

async fn in_messagepack(db: &Opened) {
    #[derive(Serialize)]
    struct Request<'s> {
        sql: &'s str,
        params: (i64, bool, f64, &'s str, Packed),
    }
    struct Packed(Vec<u8>);
    impl Serialize for Packed {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        id: i64,
        b: bool,
        f: f64,
        t: String,
        x: Bin,
    }
    #[derive(Debug, Deserialize)]
    struct Answer {
        columns: Vec<String>,
        rows: Vec<Row>,
        more: bool,
    }
    let sql = "INSERT INTO typed (id, b, f, t, x) VALUES ($1, $2, $3, $4, $5) RETURNING id, b, f, t, x";
    let request = Request { sql, params: (1, true, -0.5, "t", Packed(vec![0, 200])) };
    let answer: Answer = db.ask(Format::MessagePack, "m", "query", &request).await.unwrap();
    assert_eq!((answer.columns.len(), answer.more), (5, false));
    let expected = Row { id: 1, b: true, f: -0.5, t: "t".into(), x: Bin(vec![0, 200]) };
    assert_eq!(answer.rows, [expected]);
    assert_eq!(rows(db, "SELECT count(*) AS n FROM typed WHERE id = 1").await, json!([{"n": 1}]));
}

async fn rows_are_bounded(db: &Opened) {
    execute(db, "CREATE TABLE many (n BIGINT, t TEXT)").await;
    for n in 0..11 {
        ok(db, "execute", json!({"sql": "INSERT INTO many VALUES ($1, $2)", "params": [n, "x".repeat(10_000)]})).await;
    }
    let select = "SELECT n FROM many ORDER BY n";
    let all = ok(db, "query", json!({ "sql": select })).await;
    assert_eq!((all["rows"].as_array().unwrap().len(), &all["more"]), (10, &json!(true)));
    let some = ok(db, "query", json!({"sql": select, "limit": 2})).await;
    assert_eq!((&some["rows"], &some["more"]), (&json!([{"n": 0}, {"n": 1}]), &json!(true)));
    let last = ok(db, "query", json!({"sql": "SELECT n FROM many WHERE n > 8 ORDER BY n", "limit": 2})).await;
    assert_eq!((&last["rows"], &last["more"]), (&json!([{"n": 9}, {"n": 10}]), &json!(false)));
    let none = ok(db, "query", json!({"sql": "SELECT n FROM many WHERE n > 99"})).await;
    assert_eq!(none, json!({"columns": ["n"], "rows": [], "more": false}));
    err(db, "query", json!({"sql": select, "limit": 11}), "bad_request", "field `limit`: 11, expected 1 to 10").await;
    err(db, "query", json!({"sql": select, "limit": 0}), "bad_request", "field `limit`").await;
    err(db, "query", json!({"sql": "SELECT n, t FROM many"}), "too_large", "65536 bytes").await;
    // Rows without an end are no reason to wait for it.
    let endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r";
    let answer = ok(db, "query", json!({"sql": endless, "limit": 3})).await;
    assert_eq!((&answer["rows"][2], &answer["more"]), (&json!({"n": 3}), &json!(true)));
    // A change whose answer is too large is not made.
    let sql = "UPDATE many SET n = n + 100 RETURNING n, t";
    err(db, "query", json!({ "sql": sql }), "too_large", "larger than an answer may be").await;
    assert_eq!(rows(db, "SELECT max(n) AS n FROM many").await, json!([{"n": 10}]));
}

async fn parameters_are_never_sql(db: &Opened) {
    execute(db, "CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE)").await;
    for (id, name) in [
        "'; DROP TABLE people; --",
        "$1",
        "\\'; DELETE FROM people WHERE 'a' = 'a",
        "x' OR '1' = '1",
        "/* */ \" $$ $a$ ?",
        "\u{2028}\u{ff07} OR 1=1",
    ]
    .iter()
    .enumerate()
    {
        ok(db, "execute", json!({"sql": "INSERT INTO people VALUES ($1, $2)", "params": [id, name]})).await;
        let query = json!({"sql": "SELECT id, name FROM people WHERE name = $1", "params": [name]});
        assert_eq!(ok(db, "query", query).await["rows"], json!([{"id": id, "name": name}]));
    }
    assert_eq!(rows(db, "SELECT count(*) AS n FROM people").await, json!([{"n": 6}]));
    // One parameter may stand in several places, and their order is that of their numbers.
    let query = json!({"sql": "SELECT id FROM people WHERE (id = $2 OR id = $2) AND name = $1", "params": ["$1", 1]});
    assert_eq!(ok(db, "query", query).await["rows"], json!([{"id": 1}]));
    let sql = "SELECT id FROM people WHERE id = $1";
    err(db, "query", json!({ "sql": sql }), "bad_request", "there are 0, the statement takes 1").await;
    err(db, "query", json!({"sql": sql, "params": [1, 2]}), "bad_request", "there are 2, the statement takes 1").await;
    let two = "SELECT 1 AS one; DROP TABLE people";
    err(db, "query", json!({ "sql": two }), "bad_request", "").await;
    assert_eq!(rows(db, "SELECT count(*) AS n FROM people").await, json!([{"n": 6}]));
}

async fn changes_are_counted(db: &Opened) {
    let changed = |answer: Value| answer["changed"].as_i64().unwrap();
    assert_eq!(changed(execute(db, "UPDATE people SET id = id + 10").await), 6);
    assert_eq!(changed(execute(db, "CREATE TABLE scratch (id BIGINT)").await), 0);
    assert_eq!(changed(execute(db, "DELETE FROM people WHERE id > 12").await), 3);
    assert_eq!(changed(execute(db, "DELETE FROM people WHERE id > 12").await), 0);
    let twice = json!({"sql": "INSERT INTO people VALUES ($1, $2)", "params": [10, "another"]});
    err(db, "execute", twice, "conflict", "people").await;
    let null = json!({"sql": "INSERT INTO people VALUES ($1, $2)", "params": [99, null]});
    err(db, "execute", null, "conflict", "name").await;
    let skipped = "INSERT INTO people VALUES (10, 'x') ON CONFLICT DO NOTHING";
    assert_eq!(changed(execute(db, skipped).await), 0);
}

async fn batches_are_all_or_nothing(db: &Opened) {
    let insert = "INSERT INTO people VALUES ($1, $2)";
    let batch = json!({"statements": [
        {"sql": insert, "params": [1, "one"]},
        {"sql": "UPDATE people SET name = 'eins' WHERE id = 1"},
        {"sql": "DELETE FROM people WHERE id = 77"},
    ]});
    let results = ok(db, "batch", batch).await["results"].clone();
    let counts: Vec<_> = results.as_array().unwrap().iter().map(|result| result["changed"].clone()).collect();
    assert_eq!(counts, [1, 1, 0]);
    let failing = json!({"statements": [
        {"sql": "DELETE FROM people"},
        {"sql": insert, "params": [2, "two"]},
        {"sql": insert, "params": [2, "again"]},
    ]});
    err(db, "batch", failing, "conflict", "statement 2 of the batch").await;
    let wrong = json!({"statements": [{"sql": "DELETE FROM people"}, {"sql": "SELEC 1"}]});
    err(db, "batch", wrong, "bad_request", "statement 1 of the batch").await;
    assert_eq!(rows(db, "SELECT name FROM people WHERE id < 10").await, json!([{"name": "eins"}]));
    assert_eq!(rows(db, "SELECT count(*) AS n FROM people").await, json!([{"n": 4}]));
}

async fn requests_are_checked(db: &Opened) {
    for (operation, request, text) in [
        ("query", json!({}), "missing field `sql`"),
        ("query", json!({"sql": " "}), "field `sql`"),
        ("query", json!({"sql": "SELECT 1\0"}), "NUL"),
        ("query", json!({"sql": "SELECT 1 AS one", "colour": 1}), "unknown field `colour`"),
        ("query", json!({"sql": "SELEC 1"}), "SELEC"),
        ("query", json!({"sql": "SELECT nothing FROM people"}), "nothing"),
        ("query", json!({"sql": "SELECT id, name, id FROM people"}), "two columns are named `id`"),
        ("query", json!({"sql": "DELETE FROM people WHERE id = 12345"}), "use `execute`"),
        ("execute", json!({"sql": "SELECT id FROM people"}), "use `query`"),
        ("execute", json!({"sql": "INSERT INTO people VALUES (5, 'x') RETURNING id"}), "use `query`"),
        ("execute", json!({"sql": "SELECT 1", "params": [{"a": 1}]}), "field `params[0]`"),
        ("batch", json!({"statements": []}), "field `statements`"),
        ("batch", json!({"statements": [{"sql": "SELECT 1", "limit": 1}]}), "unknown field `limit`"),
    ] {
        err(db, operation, request, "bad_request", text).await;
    }
    err(db, "drop", json!({}), "no_such_operation", "query, execute, batch").await;
}

async fn transactions_do_not_leak(db: &Opened) {
    for sql in ["BEGIN", "COMMIT", "/* x */ rollback", "SAVEPOINT a", "RELEASE a", "END"] {
        err(db, "execute", json!({ "sql": sql }), "bad_request", "`batch`").await;
        err(db, "batch", json!({"statements": [{ "sql": sql }]}), "bad_request", "`batch`").await;
    }
}

async fn rules_are_kept(db: &Opened) {
    execute(db, "CREATE TABLE open (id BIGINT PRIMARY KEY)").await;
    execute(db, "CREATE TABLE secret (id BIGINT PRIMARY KEY, word TEXT)").await;
    execute(db, "CREATE VIEW window_to_secret AS SELECT word FROM secret").await;
    execute(db, "INSERT INTO secret VALUES (1, 'hidden')").await;
    let ruled = |read_only, tables: Option<&[&str]>| {
        let tables = tables.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        db.with_rules(Rules::Sql(SqlRules { read_only, tables }))
    };
    let reader = ruled(true, None);
    rows(&reader, "SELECT * FROM secret").await;
    for sql in ["INSERT INTO open VALUES (1)", "DELETE FROM secret", "CREATE TABLE more (id BIGINT)", "DROP TABLE open"]
    {
        err(&reader, "execute", json!({ "sql": sql }), "not_allowed", "read_only").await;
    }
    let returning = json!({"sql": "INSERT INTO open VALUES (1) RETURNING id"});
    err(&reader, "query", returning, "not_allowed", "read_only").await;
    let hidden = json!({"sql": "WITH x AS (SELECT 1 AS n) INSERT INTO open SELECT n FROM x"});
    err(&reader, "execute", hidden, "not_allowed", "read_only").await;

    let guest = ruled(false, Some(&["open"]));
    execute(&guest, "INSERT INTO open VALUES (1)").await;
    assert_eq!(rows(&guest, "SELECT o.id FROM open AS o").await, json!([{"id": 1}]));
    assert_eq!(rows(&guest, "SELECT count(*) AS n FROM open").await, json!([{"n": 1}]));
    assert_eq!(rows(&guest, "WITH x AS (SELECT id FROM open) SELECT count(*) AS n FROM x").await, json!([{"n": 1}]));
    assert_eq!(rows(&guest, "SELECT 1 AS one").await, json!([{"one": 1}]));
    for sql in [
        "SELECT * FROM secret",
        "SELECT count(*) AS n FROM secret",
        "SELECT id FROM \"secret\"",
        "SELECT (SELECT word FROM secret) AS w FROM open",
        "SELECT 1 AS one FROM open WHERE EXISTS (SELECT 1 FROM secret)",
        "WITH a AS (WITH secret AS (SELECT 1 AS one) SELECT one FROM secret) SELECT count(*) AS n FROM a, secret",
        "SELECT id FROM open UNION SELECT id FROM secret",
        "SELECT word FROM window_to_secret",
        "INSERT INTO open SELECT id + 10 FROM secret RETURNING id",
        "SELECT open.id FROM open JOIN secret ON open.id = secret.id",
    ] {
        err(&guest, "query", json!({ "sql": sql }), "not_allowed", "`tables`").await;
    }
    // Here the inner name is the table in one database, and an error in the other.
    let shadow = json!({"sql": "WITH secret AS (SELECT word FROM secret) SELECT word FROM secret"});
    guest.call("m", "query", shadow).await.unwrap_err();
    for sql in ["DELETE FROM secret", "UPDATE secret SET id = 2", "DROP TABLE open", "CREATE TABLE mine (id BIGINT)"] {
        err(&guest, "execute", json!({ "sql": sql }), "not_allowed", "`tables`").await;
    }
    // A refused statement of a batch takes the others with it, and the rules of one call are not those of the next.
    let batch = json!({"statements": [{"sql": "DELETE FROM open"}, {"sql": "DELETE FROM secret"}]});
    err(&guest, "batch", batch, "not_allowed", "secret").await;
    assert_eq!(rows(db, "SELECT id FROM open").await, json!([{"id": 1}]));
    assert_eq!(rows(db, "SELECT id, word FROM secret").await, json!([{"id": 1, "word": "hidden"}]));
    let both = ruled(true, Some(&["open", "secret"]));
    assert_eq!(rows(&both, "SELECT word FROM secret, open").await, json!([{"word": "hidden"}]));
    err(&both, "execute", json!({"sql": "DELETE FROM open"}), "not_allowed", "read_only").await;
}

async fn many_at_once(db: &Opened) {
    execute(db, "CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT)").await;
    execute(db, "INSERT INTO counter VALUES (1, 0)").await;
    let db = Arc::new(db.clone());
    let mut all = Vec::new();
    for _ in 0..40 {
        let db = Arc::clone(&db);
        all.push(actix::spawn(async move {
            execute(&db, "UPDATE counter SET n = n + 1 WHERE id = 1").await;
            rows(&db, "SELECT n FROM counter").await
        }));
    }
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(rows(&db, "SELECT n FROM counter").await, json!([{"n": 40}]));
}
