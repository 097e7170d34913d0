//! `keys`: a page of names in their order, out of a server that has none.
//!
//! Redis keeps names in a hash table, and walks all of its database with `SCAN`, a few at a time, without holding up anybody else. So
//! a page costs as much as the database has names (some 0.5 s for 100,000), and no more memory than the page. The alternative, an
//! index of our own beside the values, makes every write two, and lies as soon as Redis evicts an entry or somebody else deletes
//! one.

use std::sync::Arc;

use redis::Value;

use super::{
    errors::{failure, strange},
    names::{Names, beginning_with},
    pool::Pool,
};
use crate::bindings::{
    circuit::Failure,
    keyvalue::{command::KeysPage, listing::Listing, operations::Outcome},
};

/// Names that the server looks at in one step: a millisecond or less, during which it serves nobody else.
const STEP: usize = 1000;

/// What a step weighs on its connection.
const STEP_BYTES: usize = 64 * 1024;

/// Lists a page.
pub(super) async fn keys(names: &Names, pool: &Arc<Pool>, page: &KeysPage) -> Result<Outcome, Failure> {
    let space = names.space(&page.prefix);
    let pattern = beginning_with(&names.of(&page.prefix));
    let mut listing = Listing::new(page);
    let mut cursor = b"0".to_vec();
    loop {
        let mut command = redis::cmd("SCAN");
        command.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
        let mut lease = pool.lease(STEP_BYTES).map_err(Failure::Server)?;
        let answer = command.query_async(&mut lease.connection).await;
        lease.answered();
        let (next, step) = read(answer.map_err(|error| failure(None, error))?)?;
        for name in step {
            // Names that are not text were made by somebody else, and no guest could ask for them.
            if let Some(name) = name.get(space.len()..).and_then(|name| std::str::from_utf8(name).ok()) {
                listing.offer(name);
            }
        }
        if next == b"0" {
            return Ok(listing.outcome());
        }
        cursor = next;
    }
}

fn read(answer: Value) -> Result<(Vec<u8>, Vec<Vec<u8>>), Failure> {
    let Value::Array(parts) = answer else { return Err(strange("SCAN")) };
    let Ok([Value::BulkString(cursor), Value::Array(names)]) = <[Value; 2]>::try_from(parts) else {
        return Err(strange("SCAN"));
    };
    let names = names.into_iter().map(|name| match name {
        Value::BulkString(name) => Ok(name),
        _ => Err(strange("SCAN")),
    });
    Ok((cursor, names.collect::<Result<_, _>>()?))
}
