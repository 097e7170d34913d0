//! The thread that writes: one transaction for all requests that wait.
//!
//! With `durability = "eventual"` a commit is answered before it is on the disk. A later commit that is brings all before it
//! there too, in their order; one is made [`PUT_OFF`] after the first that is not, and at the end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    cache::{Cache, Changes},
    database::{Database, Failure},
    queue::{Batch, Work},
    table::Tables,
};
use crate::{
    bindings::{
        guard,
        keyvalue::{
            command::Write,
            operations::{self, OperationError, TableMut},
            record::Millis,
            store::{Clock, Outcomes},
        },
    },
    config::Durability,
};

/// How long a commit may be answered for and not be on the disk. A tenth of a second keeps a disk that syncs in 10 ms nine
/// tenths idle; half of it would keep nobody's data noticeably safer, and ten times as much is a lot of work to lose.
const PUT_OFF: Duration = Duration::from_millis(100);

/// Expired entries that one transaction removes in passing: as many as a full group can add, so they never pile up.
const SWEPT: usize = 256;

/// The work of the thread.
pub(super) struct Writer {
    database: Arc<Database>,
    clock: Clock,
    durability: Durability,
    /// When the commits that were answered must be on the disk, where some are not.
    due: Option<Instant>,
}

impl Writer {
    pub(super) fn new(database: Arc<Database>, clock: Clock, durability: Durability) -> Self {
        Self { database, clock, durability, due: None }
    }

    /// After a failure the database was opened anew, with what is on the disk.
    fn lost(&mut self) {
        if self.due.take().is_some() {
            let binding = self.database.name();
            tracing::error!(binding, "writes that were answered in the last moments before the failure may be lost");
        }
    }
}

impl Work<Write> for Writer {
    /// Runs a group of writes in one transaction and answers each after the commit.
    fn serve(&mut self, batch: Batch<Write>) {
        let now = (self.clock)();
        let (writes, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.command, job.reply)).unzip();
        match self.database.with(|redb| transaction(redb, self.database.cache(), writes, now, self.durability)) {
            Ok((outcomes, changed)) => {
                if changed && self.durability == Durability::Eventual && self.due.is_none() {
                    self.due = Some(Instant::now() + PUT_OFF);
                }
                replies.into_iter().zip(outcomes).for_each(|(reply, outcome)| reply.send(outcome));
            }
            Err(failure) => {
                self.lost();
                replies.into_iter().for_each(|reply| reply.send(Err(self.database.error(&failure))));
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.due
    }

    fn settle(&mut self) {
        if self.due.is_some() && self.database.with(sync).is_err() {
            self.lost();
        }
        self.due = None;
    }
}

/// Brings all that was committed to the disk.
fn sync(redb: &::redb::Database) -> Result<(), Failure> {
    let transaction = begin(redb, Durability::Immediate)?;
    transaction.commit().map_err(Failure::storage)
}

fn begin(redb: &::redb::Database, durability: Durability) -> Result<::redb::WriteTransaction, Failure> {
    let mut transaction = redb.begin_write().map_err(Failure::storage)?;
    let durability = match durability {
        Durability::Immediate => ::redb::Durability::Immediate,
        Durability::Eventual => ::redb::Durability::None,
    };
    transaction.set_durability(durability).map_err(Failure::storage)?;
    Ok(transaction)
}

fn transaction(
    redb: &::redb::Database,
    cache: &Cache,
    writes: Vec<Write>,
    now: Millis,
    durability: Durability,
) -> Result<(Vec<Outcomes>, bool), Failure> {
    let transaction = begin(redb, durability)?;
    // Caught here, so that the transaction is not dropped by the panic: redb could panic again, and end the process.
    let applied = guard::catch(|| apply(&transaction, cache.changes(), writes, now));
    let Applied { outcomes, changed, changes } = applied.unwrap_or_else(|panic| Err(Failure::Panicked(panic)))?;
    if changed {
        let begun = cache.begin(changes);
        transaction.commit().map_err(Failure::storage)?;
        cache.publish(begun);
    } else {
        transaction.abort().map_err(Failure::storage)?;
    }
    Ok((outcomes, changed))
}

/// What a transaction is about to commit.
struct Applied {
    outcomes: Vec<Outcomes>,
    changed: bool,
    changes: Changes,
}

fn apply(
    transaction: &::redb::WriteTransaction,
    changes: Changes,
    writes: Vec<Write>,
    now: Millis,
) -> Result<Applied, Failure> {
    let mut tables = Tables::open(transaction, changes).map_err(Failure::storage)?;
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        outcomes.push(separate(operations::write(write, &mut tables, now))?);
    }
    // Sweeping has no request that could be refused.
    separate(tables.sweep(now, SWEPT))?.ok();
    let Tables { changed, changes, .. } = tables;
    Ok(Applied { outcomes, changed, changes })
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
