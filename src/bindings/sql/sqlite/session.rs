//! One connection and the thread's work on it: each command under its own rules and until its own deadline.
//!
//! Statements are prepared anew for each command, under the rules of its link: none is kept, so none can be used under
//! the rules of another.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use parking_lot::Mutex;
use rusqlite::{
    Connection,
    hooks::{Action, AuthContext, Authorization},
};

use super::{
    authorizer::{Denied, Seen, authorizer},
    error,
    file::Role,
    queue::Job,
    values::{self, Bind, Columns},
};
use crate::{
    bindings::{
        payload::bad_request,
        sql::{
            command::{Changed, Command, Outcome, Statement, Work, in_batch},
            rows::{Room, Rows},
        },
    },
    config::SqlRules,
    host::{HostCallError, HostErrorKind},
};

/// Steps of SQLite's machine between two looks at the deadline: some ten microseconds. Ten times as many would still be
/// soon enough, but a look costs next to nothing.
const STEPS: i32 = 1000;

/// Names of which no column is read that one statement may have under `tables`.
const MAX_NAMES: usize = 32;

/// A connection with whose work is done on it.
pub(super) struct Session {
    pub(super) binding: Arc<str>,
    pub(super) connection: Connection,
    pub(super) role: Role,
}

/// Why a command has no outcome.
pub(super) enum Stop {
    /// It changes something: it is for the writer.
    Writes,
    /// The guest gets this error.
    Refused(HostCallError),
}

impl From<HostCallError> for Stop {
    fn from(error: HostCallError) -> Self {
        Self::Refused(error)
    }
}

impl Session {
    /// Does what a job asks for. Whatever happens, no transaction is open afterwards.
    pub(super) fn serve(&mut self, job: &Job) -> Result<Outcome, Stop> {
        let (left, deadline) = (job.caller.left(), job.deadline);
        // This is asked between the steps, so it is never too early, as an interruption from another thread can be.
        let over = move || left.load(Relaxed) || deadline <= Instant::now();
        self.connection.progress_handler(STEPS, Some(over)).map_err(|error| self.explain(error))?;
        let outcome = self.work(&job.command);
        self.unguard();
        // The end of a transaction is not ended itself.
        let unwatched = self.connection.progress_handler(0, None::<fn() -> bool>);
        let outcome = unwatched.map_err(|error| self.explain(error).into()).and(outcome);
        if !self.connection.is_autocommit()
            && let Err(error) = self.plain("ROLLBACK")
        {
            tracing::error!(binding = &*self.binding, %error, "transaction could not be rolled back");
        }
        outcome
    }

    /// Whether the connection can be used for the next job.
    pub(super) fn is_clean(&self) -> bool {
        self.connection.is_autocommit()
    }

    fn work(&mut self, command: &Command) -> Result<Outcome, Stop> {
        match (&command.work, self.role) {
            (Work::Probe, _) => {
                let version = self.connection.pragma_query_value(None, "schema_version", |row| row.get::<_, i64>(0));
                version.map(|_| Outcome::Well).map_err(|error| self.explain(error).into())
            }
            (Work::Query(statement, room), Role::Reader) => {
                self.begin("BEGIN")?;
                self.query(statement, *room, &command.rules).map(Outcome::Rows)
            }
            (Work::Execute(_) | Work::Batch(_), Role::Reader) => Err(Stop::Writes),
            (Work::Query(statement, room), Role::Writer) => {
                self.in_transaction(|session| Ok(Outcome::Rows(session.query(statement, *room, &command.rules)?)))
            }
            (Work::Execute(statement), Role::Writer) => {
                self.in_transaction(|session| Ok(Outcome::Changed(session.execute(statement, &command.rules)?)))
            }
            (Work::Batch(statements), Role::Writer) => self.in_transaction(|session| {
                let mut results = Vec::with_capacity(statements.len());
                for (index, statement) in statements.iter().enumerate() {
                    let changed = session.execute(statement, &command.rules);
                    results.push(changed.map_err(|error| in_batch(index, error))?);
                }
                Ok(Outcome::Batch(results))
            }),
        }
    }

    /// Does work that is committed as a whole before this returns, or not at all.
    fn in_transaction(&mut self, work: impl FnOnce(&mut Self) -> Result<Outcome, Stop>) -> Result<Outcome, Stop> {
        self.begin("BEGIN IMMEDIATE")?;
        let outcome = work(self)?;
        self.unguard();
        self.plain("COMMIT").map_err(|error| self.explain(error))?;
        Ok(outcome)
    }

    fn begin(&mut self, sql: &str) -> Result<(), HostCallError> {
        self.plain(sql).map_err(|error| self.explain(error))
    }

    fn plain(&mut self, sql: &str) -> rusqlite::Result<()> {
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
        self.connection.execute_batch(sql)
    }

    fn query(&mut self, statement: &Statement, room: Room, rules: &Arc<SqlRules>) -> Result<Rows, Stop> {
        self.guard(&statement.sql, rules)?;
        let mut prepared = self.connection.prepare(&statement.sql).map_err(|error| self.explain(error))?;
        if self.role == Role::Reader && !prepared.readonly() {
            return Err(Stop::Writes);
        }
        let columns = Columns::of(&prepared);
        let mut answer = Rows::new(columns.names.clone(), room)?;
        self.bind(&mut prepared, statement)?;
        let mut rows = prepared.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.explain(error))? {
            if !answer.has_room() {
                break;
            }
            answer.admit(columns.length(row).map_err(|error| self.explain(error))?)?;
            answer.push(columns.read(row).map_err(|error| self.explain(error))?)?;
        }
        Ok(answer)
    }

    fn execute(&mut self, statement: &Statement, rules: &Arc<SqlRules>) -> Result<Changed, HostCallError> {
        let seen = self.guard(&statement.sql, rules)?;
        let inserted = Arc::new(Mutex::new(None));
        if let Some(table) = seen.inserts_into {
            let last = Arc::clone(&inserted);
            let hook = move |action: Action, _: &str, changed: &str, id: i64| {
                if action == Action::SQLITE_INSERT && changed.eq_ignore_ascii_case(&table) {
                    *last.lock() = Some(id);
                }
            };
            self.connection.update_hook(Some(hook)).map_err(|error| self.explain(error))?;
        }
        let before = self.connection.total_changes();
        let mut prepared = self.connection.prepare(&statement.sql).map_err(|error| self.explain(error))?;
        if prepared.column_count() > 0 {
            return Err(bad_request("the statement returns rows: use `query`"));
        }
        self.bind(&mut prepared, statement)?;
        let changed = prepared.raw_execute().map_err(|error| self.explain(error))?;
        drop(prepared);
        // What only changes the schema leaves the count of the statement before.
        let changed = if self.connection.total_changes() == before { 0 } else { changed as u64 };
        let last_id = *inserted.lock();
        self.connection.update_hook(None::<fn(Action, &str, &str, i64)>).map_err(|error| self.explain(error))?;
        Ok(Changed { changed, last_id })
    }

    fn bind(&self, prepared: &mut rusqlite::Statement<'_>, statement: &Statement) -> Result<(), HostCallError> {
        values::bind(prepared, &statement.params).map_err(|error| match error {
            Bind::Refused(error) => error,
            Bind::Failed(error) => self.explain(error),
        })
    }

    /// Puts the connection under the rules and lets SQLite's parser judge the statement under them.
    ///
    /// The parser also asks for the names of common table expressions of which no column is read. One that is no table in
    /// this very transaction is let through.
    fn guard(&mut self, sql: &str, rules: &Arc<SqlRules>) -> Result<Seen, HostCallError> {
        let mut inside = BTreeSet::new();
        loop {
            let seen = Arc::new(Mutex::new(Seen::default()));
            let judge = authorizer(Arc::clone(rules), inside.clone(), Arc::clone(&seen));
            self.connection.authorizer(Some(judge)).map_err(|error| self.explain(error))?;
            let parsed = self.connection.prepare(sql).map(drop);
            let seen = std::mem::take(&mut *seen.lock());
            match (&seen.denied, parsed) {
                (Some(Denied::Name(name)), Err(_)) if inside.len() < MAX_NAMES && !self.is_table(name)? => {
                    inside.insert(name.clone());
                }
                (Some(denied), Err(_)) => return Err(error::denied(denied, rules)),
                (_, Err(error)) => return Err(self.explain(error)),
                (_, Ok(())) => return Ok(seen),
            }
        }
    }

    /// Whether anything of this name can be read, in the transaction that is open.
    fn is_table(&mut self, name: &str) -> Result<bool, HostCallError> {
        const FIND: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE lower(name) = lower(?1) \
                            UNION ALL SELECT 1 FROM pragma_module_list WHERE lower(name) = lower(?1))";
        let lower = name.to_ascii_lowercase();
        if ["sqlite_", "pragma_"].iter().any(|prefix| lower.starts_with(prefix)) {
            return Ok(true);
        }
        let unguarded = self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
        let found = unguarded.and_then(|()| self.connection.query_row(FIND, [name], |row| row.get(0)));
        found.map_err(|error| self.explain(error))
    }

    fn unguard(&mut self) {
        let cleared = [
            self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>),
            self.connection.update_hook(None::<fn(Action, &str, &str, i64)>),
        ];
        for error in cleared.into_iter().filter_map(Result::err) {
            tracing::error!(binding = &*self.binding, %error, "hooks could not be removed");
        }
    }

    fn explain(&self, error: rusqlite::Error) -> HostCallError {
        error::explain(&self.binding, error)
    }
}

/// The error of a job during which the code panicked.
pub(super) fn panicked(binding: &str, panic: &str) -> HostCallError {
    let text = format!("the database of binding `{binding}` panicked: {panic}");
    HostCallError::new(HostErrorKind::Internal, text)
}
