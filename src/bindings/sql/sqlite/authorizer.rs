//! What statements may do, decided by SQLite's parser: it asks here for every table, column and action that a statement
//! touches, also behind views, in triggers and for foreign keys.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::config::SqlRules;

/// Table-valued functions that read nothing but their argument.
const HARMLESS: [&str; 2] = ["json_each", "json_tree"];

/// Why a statement is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denied {
    /// No guest may do this, whatever its link says.
    Never(&'static str),
    /// It is a matter of transactions, which calls do not share.
    Transaction,
    /// The link says `read_only`.
    ReadOnly,
    /// The link lists tables, and this is none of them.
    Table(String),
    /// A name of which no column is read: a table that is not listed, or only a name inside the statement.
    Name(String),
    /// The link lists tables, and this is neither reading nor changing rows.
    Schema,
}

/// What the parser was told about one statement.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The first thing that was denied.
    pub(super) denied: Option<Denied>,
    /// The table that the statement itself inserts into.
    pub(super) inserts_into: Option<String>,
    /// Whether it changes a table's columns, for which SQLite looks by itself whether the rows fit.
    alters: bool,
}

/// Makes the answer to SQLite's questions for one statement. `inside` are names that are known to be no tables.
pub(super) fn authorizer(
    rules: Arc<SqlRules>,
    inside: BTreeSet<String>,
    seen: Arc<Mutex<Seen>>,
) -> impl FnMut(AuthContext<'_>) -> Authorization + Send + 'static {
    move |context| {
        let mut seen = seen.lock();
        match (context.action, context.accessor) {
            (AuthAction::Insert { table_name }, None) => seen.inserts_into = Some(table_name.to_owned()),
            (AuthAction::AlterTable { .. }, _) => seen.alters = true,
            (AuthAction::Pragma { pragma_name: "quick_check", .. }, _) if seen.alters => return Authorization::Allow,
            _ => {}
        }
        match decide(context.action, &rules, &inside) {
            Ok(()) => Authorization::Allow,
            Err(denied) => {
                seen.denied.get_or_insert(denied);
                Authorization::Deny
            }
        }
    }
}

fn decide(action: AuthAction<'_>, rules: &SqlRules, inside: &BTreeSet<String>) -> Result<(), Denied> {
    use AuthAction as A;
    let listed = |table: &str| match &rules.tables {
        Some(tables) => tables.contains(&table.to_ascii_lowercase()) || HARMLESS.contains(&table),
        None => true,
    };
    match action {
        A::Select | A::Recursive => Ok(()),
        A::Function { function_name: "load_extension" } => Err(Denied::Never("load extensions")),
        A::Function { .. } => Ok(()),
        A::Read { table_name, .. } if listed(table_name) => Ok(()),
        A::Read { table_name, column_name: "" } if inside.contains(table_name) => Ok(()),
        A::Read { table_name, column_name: "" } => Err(Denied::Name(table_name.to_owned())),
        A::Read { table_name, .. } => Err(Denied::Table(table_name.to_owned())),
        A::Attach { .. } | A::Detach { .. } => Err(Denied::Never("reach other files (ATTACH, DETACH, VACUUM)")),
        A::Pragma { .. } => Err(Denied::Never("use PRAGMA")),
        A::Transaction { .. } | A::Savepoint { .. } => Err(Denied::Transaction),
        A::CreateTempIndex { .. }
        | A::CreateTempTable { .. }
        | A::CreateTempTrigger { .. }
        | A::CreateTempView { .. }
        | A::DropTempIndex { .. }
        | A::DropTempTable { .. }
        | A::DropTempTrigger { .. }
        | A::DropTempView { .. } => Err(Denied::Never("use temporary tables, which calls would share")),
        _ if rules.read_only => Err(Denied::ReadOnly),
        A::Insert { table_name } | A::Update { table_name, .. } | A::Delete { table_name } => {
            if listed(table_name) {
                Ok(())
            } else {
                Err(Denied::Table(table_name.to_owned()))
            }
        }
        _ if rules.tables.is_some() => Err(Denied::Schema),
        A::Unknown { .. } => Err(Denied::Never("do what this daemon does not know")),
        _ => Ok(()),
    }
}
