//! A command on a connection: one transaction, under the rules of the link, with an end.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use parking_lot::Mutex;
use tokio_postgres::{Client, Statement as Prepared, Transaction};

use super::{
    columns,
    error::{Words, blame, explain},
    keyword::{self, Kind},
    parameters::{Parameter, parameters},
    tables::{Moment, Tables},
};
use crate::{
    bindings::{
        circuit::Failure,
        payload::bad_request,
        sql::{
            command::{Changed, Command, Outcome, Statement, Work, in_batch},
            rows::{Room, Rows},
        },
    },
    config::SqlRules,
    host::{HostCallError, HostErrorKind},
};

/// Does what a command asks for. Where it fails the transaction is on its way to be rolled back.
pub(super) async fn run(
    client: &mut Client,
    command: &Command,
    left: Arc<AtomicBool>,
    deadline: Instant,
) -> Result<Outcome, Failure> {
    let statements = match &command.work {
        Work::Probe => {
            client.simple_query("SELECT 1").await.map_err(|error| explain(error, Words::All))?;
            return Ok(Outcome::Well);
        }
        Work::Query(statement, _) | Work::Execute(statement) => std::slice::from_ref(statement),
        Work::Batch(statements) => statements,
    };
    let turn = Turn::begin(client, statements, &command.rules, left, deadline).await?;
    let outcome = match &command.work {
        Work::Query(statement, room) => Outcome::Rows(turn.query(statement, *room).await?),
        Work::Execute(statement) => Outcome::Changed(turn.execute(statement).await?),
        Work::Batch(_) | Work::Probe => Outcome::Batch(turn.batch(statements).await?),
    };
    turn.commit().await?;
    Ok(outcome)
}

/// One transaction of one caller.
struct Turn<'c> {
    transaction: Transaction<'c>,
    rules: Arc<SqlRules>,
    tables: Option<Tables>,
    /// What the guest may read of errors while its statements run.
    words: Words,
    left: Arc<AtomicBool>,
    /// When the server ends a statement by itself, should nobody be left to cancel it; taken by the first one.
    limit: Mutex<Option<Duration>>,
}

impl<'c> Turn<'c> {
    async fn begin(
        client: &'c mut Client,
        statements: &[Statement],
        rules: &Arc<SqlRules>,
        left: Arc<AtomicBool>,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        for (index, statement) in statements.iter().enumerate() {
            let judged = allowed(statement, rules);
            judged.map_err(|error| if statements.len() > 1 { in_batch(index, error) } else { error })?;
        }
        if rules.tables.is_some() {
            // The client asks the catalog for types that it does not know, which locks it; afterwards it knows them.
            for statement in statements {
                client.prepare(&statement.sql).await.map_err(|error| explain(error, Words::All))?;
            }
        }
        let builder = client.build_transaction().read_only(rules.read_only);
        let transaction = builder.start().await.map_err(|error| explain(error, Words::All))?;
        let tables = Tables::find(transaction.client(), rules).await?;
        let limit = Mutex::new(Some(deadline.saturating_duration_since(Instant::now())));
        Ok(Self { transaction, rules: Arc::clone(rules), tables, words: Words::under(rules), left, limit })
    }

    async fn query(&self, statement: &Statement, room: Room) -> Result<Rows, Failure> {
        let prepared = self.prepare(statement).await?;
        let names = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let mut answer = Rows::new(names, room)?;
        columns::check(prepared.columns())?;
        let params = parameters(&statement.params, prepared.params())?;
        let portal = self.transaction.bind_raw(&prepared, &params).await.map_err(|error| self.blame(error, &params))?;
        // One more than there is room for, to know whether there are more; the server makes no others.
        let most = i32::try_from(room.rows.saturating_add(1)).unwrap_or(i32::MAX);
        let rows = self.transaction.query_portal_raw(&portal, most).await.map_err(|error| self.explain(error))?;
        let mut rows = pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(|error| self.explain(error))? {
            if !answer.has_room() {
                break;
            }
            answer.push(columns::read(&row).map_err(|error| self.explain(error))?)?;
        }
        self.check(Moment::Done).await?;
        Ok(answer)
    }

    async fn execute(&self, statement: &Statement) -> Result<Changed, Failure> {
        let prepared = self.prepare(statement).await?;
        if !prepared.columns().is_empty() {
            return Err(bad_request("the statement returns rows: use `query`").into());
        }
        let params = parameters(&statement.params, prepared.params())?;
        let changed =
            self.transaction.execute_raw(&prepared, &params).await.map_err(|error| self.blame(error, &params))?;
        self.check(Moment::Done).await?;
        Ok(Changed { changed, last_id: None })
    }

    async fn batch(&self, statements: &[Statement]) -> Result<Vec<Changed>, Failure> {
        let mut results = Vec::with_capacity(statements.len());
        for (index, statement) in statements.iter().enumerate() {
            if self.left.load(Relaxed) {
                let why = "the batch was ended at the deadline of its call";
                return Err(HostCallError::new(HostErrorKind::TimedOut, why).into());
            }
            let changed = self.execute(statement).await.map_err(|failure| match failure {
                Failure::Request(error) => Failure::Request(in_batch(index, error)),
                failure @ Failure::Server(_) => failure,
            })?;
            results.push(changed);
        }
        Ok(results)
    }

    /// Lets the server parse the statement, which takes one statement only, and looks at what it names.
    async fn prepare(&self, statement: &Statement) -> Result<Prepared, Failure> {
        let limit = self.limit.lock().take();
        let prepared = match limit {
            None => self.transaction.prepare(&statement.sql).await,
            Some(limit) => {
                let millis = limit.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
                let limited = format!("SET LOCAL statement_timeout = {millis}");
                // Both are sent at once.
                let (limited, prepared) =
                    tokio::join!(self.transaction.batch_execute(&limited), self.transaction.prepare(&statement.sql));
                limited.map_err(|error| explain(error, Words::All))?;
                prepared
            }
        };
        let prepared = prepared.map_err(|error| explain(error, Words::All))?;
        self.check(Moment::Parsed).await?;
        Ok(prepared)
    }

    async fn check(&self, moment: Moment) -> Result<(), Failure> {
        match &self.tables {
            Some(tables) => tables.check(self.transaction.client(), moment).await,
            None => Ok(()),
        }
    }

    async fn commit(self) -> Result<(), Failure> {
        let words = Words::under(&self.rules);
        self.transaction.commit().await.map_err(|error| explain(error, words))
    }

    fn blame(&self, error: tokio_postgres::Error, params: &[Parameter]) -> Failure {
        blame(error, self.words, params)
    }

    fn explain(&self, error: tokio_postgres::Error) -> Failure {
        explain(error, self.words)
    }
}

/// Whether statements of this kind are for guests, and for guests with these rules.
fn allowed(statement: &Statement, rules: &SqlRules) -> Result<(), HostCallError> {
    match keyword::kind(&statement.sql)? {
        Kind::Schema if rules.tables.is_some() => {
            let why = "the link has `tables`: statements may read and change rows, and nothing else";
            Err(HostCallError::new(HostErrorKind::NotAllowed, why))
        }
        Kind::Rows | Kind::Schema => Ok(()),
    }
}
