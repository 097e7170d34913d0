//! `sql`: a database. Values go beside the statement, never into it.

use rmpv::Value;
use wapc_guest::prelude::*;

use crate::host::{ask, lines, list, map, text, words};

/// Makes the table of accounts, where it is missing.
pub fn create(_payload: &[u8]) -> CallResult {
    let sql =
        "CREATE TABLE IF NOT EXISTS accounts (owner TEXT PRIMARY KEY, amount BIGINT NOT NULL CHECK (amount >= 0))";
    ask("sql", "execute", [("sql", sql.into())])?;
    text("")
}

/// `OWNER AMOUNT`: opens an account and answers how many rows that changed.
pub fn execute(payload: &[u8]) -> CallResult {
    let [owner, amount] = words(payload)?;
    let amount: i64 = amount.parse()?;
    let sql = "INSERT INTO accounts (owner, amount) VALUES ($1, $2)";
    let params = list([owner.into(), amount.into()]);
    text(ask("sql", "execute", [("sql", sql.into()), ("params", params)])?.int("changed")?)
}

/// `AMOUNT`: answers `OWNER AMOUNT` of all accounts that have at least so much, a line each.
pub fn query(payload: &[u8]) -> CallResult {
    let [least] = words(payload)?;
    let least: i64 = least.parse()?;
    let sql = "SELECT owner, amount FROM accounts WHERE amount >= $1 ORDER BY owner";
    let answer = ask("sql", "query", [("sql", sql.into()), ("params", list([least.into()]))])?;
    let mut all = Vec::new();
    for row in answer.maps("rows")? {
        all.push(format!("{} {}", row.text("owner")?, row.int("amount")?));
    }
    lines(all)
}

/// `FROM TO AMOUNT`: moves an amount in one transaction, of which everything happens or nothing.
pub fn batch(payload: &[u8]) -> CallResult {
    let [from, to, amount] = words(payload)?;
    let amount: i64 = amount.parse()?;
    let change = |owner: &str, by: i64| {
        let sql = "UPDATE accounts SET amount = amount + $1 WHERE owner = $2";
        map([("sql", sql.into()), ("params", list([Value::from(by), owner.into()]))])
    };
    let statements = list([change(from, -amount), change(to, amount)]);
    let mut changed = 0;
    for result in ask("sql", "batch", [("statements", statements)])?.maps("results")? {
        changed += result.int("changed")?;
    }
    text(changed)
}
