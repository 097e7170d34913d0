//! The thread that writes: one transaction for all requests that wait.

use super::{
    database::{Database, Failure},
    queue::Batch,
    table::Tables,
};
use crate::bindings::{
    guard,
    keyvalue::{
        command::Write,
        operations::{self, OperationError, TableMut},
        record::Millis,
        store::Outcomes,
    },
};

/// Expired entries that one transaction removes in passing: as many as a full group can add, so they never pile up.
const SWEPT: usize = 256;

/// Runs a group of writes in one transaction and answers each after the commit.
pub(super) fn commit(database: &Database, batch: Batch<Write>, now: Millis) {
    let (writes, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.command, job.reply)).unzip();
    match database.with(|redb| transaction(redb, writes, now)) {
        Ok(outcomes) => replies.into_iter().zip(outcomes).for_each(|(reply, outcome)| reply.send(outcome)),
        Err(failure) => replies.into_iter().for_each(|reply| reply.send(Err(database.error(&failure)))),
    }
}

fn transaction(redb: &::redb::Database, writes: Vec<Write>, now: Millis) -> Result<Vec<Outcomes>, Failure> {
    let transaction = redb.begin_write().map_err(Failure::storage)?;
    // Caught here, so that the transaction is not dropped by the panic: redb could panic again, and end the process.
    let applied = guard::catch(|| apply(&transaction, writes, now));
    match applied.unwrap_or_else(|panic| Err(Failure::Panicked(panic))) {
        Ok(Applied { outcomes, changed: true }) => {
            transaction.commit().map_err(Failure::storage)?;
            Ok(outcomes)
        }
        Ok(Applied { outcomes, changed: false }) => {
            transaction.abort().map_err(Failure::storage)?;
            Ok(outcomes)
        }
        Err(failure) => Err(failure),
    }
}

/// What a transaction is about to commit.
struct Applied {
    outcomes: Vec<Outcomes>,
    changed: bool,
}

fn apply(transaction: &::redb::WriteTransaction, writes: Vec<Write>, now: Millis) -> Result<Applied, Failure> {
    let mut tables = Tables::open(transaction).map_err(Failure::storage)?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(separate(operations::write(write, &mut tables, now))?);
    }
    // Sweeping has no request that could be refused.
    separate(tables.sweep(now, SWEPT))?.ok();
    Ok(Applied { outcomes, changed: tables.changed })
}

/// Tells what concerns one request from what ends the whole transaction.
pub(super) fn separate<T>(
    outcome: Result<T, OperationError>,
) -> Result<Result<T, crate::host::HostCallError>, Failure> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(OperationError::Refused(error)) => Ok(Err(error)),
        Err(OperationError::Storage(error)) => Err(Failure::storage(error)),
    }
}
