//! The rule `tables`: what a statement touches, as the server knows it.
//!
//! Whatever a transaction reads or changes it locks, and holds until its end: tables that a statement names, those behind
//! views, those that functions, triggers and foreign keys reach. So the locks are looked at twice: when the statement is
//! parsed, before anything ran, and when it is done, before its answer leaves and its transaction is committed.
//!
//! The questions name no table themselves, only functions, and operators by their full names: they lock nothing, and no
//! `search_path` changes their meaning.

use tokio_postgres::{Client, Error};

use super::error::{Words, explain};
use crate::{
    bindings::circuit::Failure,
    config::SqlRules,
    host::{HostCallError, HostErrorKind},
};

/// The relations of these names, and the partitions of those that have some.
const RESOLVE: &str = "\
    SELECT named.oid::pg_catalog.oid FROM ( \
        SELECT pg_catalog.to_regclass(name) AS oid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name \
    ) AS named WHERE named.oid IS NOT NULL \
    UNION ALL \
    SELECT part.relid::pg_catalog.oid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name, \
        pg_catalog.pg_partition_tree(pg_catalog.to_regclass(name)) AS part";

/// A relation that this transaction holds, and that is none of these.
const TOUCHED: &str = "\
    SELECT what.type, what.identity \
    FROM pg_catalog.pg_lock_status() AS held, \
        pg_catalog.pg_identify_object(1259::pg_catalog.oid, held.relation, 0) AS what \
    WHERE held.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
        AND held.locktype OPERATOR(pg_catalog.=) 'relation'::pg_catalog.text \
        AND held.relation OPERATOR(pg_catalog.<>) ALL ($1::pg_catalog.oid[])";

/// When it is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// When the statement is parsed: what it names.
    Parsed,
    /// When it is done: also what comes with a table, its indexes, its long values, its sequences.
    Done,
}

/// The tables that a link allows, in one transaction.
pub(super) struct Tables {
    allowed: Vec<u32>,
    names: String,
}

impl Tables {
    /// Finds the tables of the rules; before any statement of the guest, which could change what names mean.
    pub(super) async fn find(client: &Client, rules: &SqlRules) -> Result<Option<Self>, Failure> {
        let Some(names) = &rules.tables else { return Ok(None) };
        let rows = client.query(RESOLVE, &[names]).await.map_err(internal)?;
        let allowed = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(internal)?;
        Ok(Some(Self { allowed, names: names.join("`, `") }))
    }

    /// Whether everything that was touched so far is allowed.
    pub(super) async fn check(&self, client: &Client, moment: Moment) -> Result<(), Failure> {
        if moment == Moment::Done {
            // What is deferred would otherwise run in the commit.
            client.batch_execute("SET CONSTRAINTS ALL IMMEDIATE").await.map_err(|error| explain(error, Words::Code))?;
        }
        for row in client.query(TOUCHED, &[&self.allowed]).await.map_err(internal)? {
            let kind: Option<&str> = row.try_get(0).map_err(internal)?;
            let comes_with_a_table = matches!(kind, Some("index" | "toast table" | "sequence"));
            if moment == Moment::Done && comes_with_a_table {
                continue;
            }
            let identity: Option<&str> = row.try_get(1).map_err(internal)?;
            let (what, names) = (identity.unwrap_or("a table that is gone"), &self.names);
            let why = format!("table `{what}` is none of the link's `tables`: `{names}`");
            return Err(HostCallError::new(HostErrorKind::NotAllowed, why).into());
        }
        Ok(())
    }
}

fn internal(error: Error) -> Failure {
    explain(error, Words::All)
}
