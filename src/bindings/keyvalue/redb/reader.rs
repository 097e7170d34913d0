//! The thread that reads: one snapshot for all requests that wait.

use std::collections::VecDeque;

use super::{
    cache::{Cache, Filling},
    database::{Database, Failure},
    queue::{Batch, Job},
    table::Snapshot,
    writer::separate,
};
use crate::bindings::keyvalue::{command::Read, operations, record::Millis};

/// Answers a group of reads from one snapshot, each as soon as it is read: together their values could be large.
pub(super) fn answer(database: &Database, batch: Batch<Read>, now: Millis) {
    let mut jobs = VecDeque::from(batch);
    let Err(failure) = database.with(|redb| snapshot(redb, database.cache(), &mut jobs, now)) else { return };
    jobs.into_iter().for_each(|job| job.reply.send(Err(database.error(&failure))));
}

/// Takes out of the queue what it answers, so that what is left has no answer yet.
fn snapshot(
    redb: &::redb::Database,
    cache: &Cache,
    jobs: &mut VecDeque<Job<Read>>,
    now: Millis,
) -> Result<(), Failure> {
    // Before the snapshot: it may see more than this says, and never less.
    let seen = cache.seen();
    let transaction = ::redb::ReadableDatabase::begin_read(redb).map_err(Failure::storage)?;
    let table = Filling::new(Snapshot::open(&transaction).map_err(Failure::storage)?, cache, seen);
    while let Some(job) = jobs.front() {
        let outcome = separate(operations::read(&job.command, &table, now))?;
        if let Some(job) = jobs.pop_front() {
            job.reply.send(outcome);
        }
    }
    Ok(())
}
