//! `keyvalue` on redb: a host call beside crate redb in the same directory, with the same durability.

use bytes::Bytes;
use redb::{Database, ReadableDatabase as _, TableDefinition};

use crate::{
    calls::{Calls, KEYS, key, value},
    daemon::Daemon,
    harness::{Contender, Failure, Report, WAITING, race_at},
    stage::Stage,
};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// Host calls in flight beside one: enough to fill the groups that the database's threads make.
const MANY: u32 = 64;

pub(crate) fn measure(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let bindings = "[bindings.now]\ntype = \"keyvalue\"\npath = \"now.redb\"\ndurability = \"immediate\"\n\
                    [bindings.soon]\ntype = \"keyvalue\"\npath = \"soon.redb\"\ndurability = \"eventual\"\n\
                    [bindings.file]\ntype = \"keyvalue\"\npath = \"file.redb\"\ndurability = \"eventual\"\ncache = \"0 B\"\n";
    let modules = [
        ("now", MANY as usize, "to = \"now\""),
        ("soon", MANY as usize, "to = \"soon\""),
        ("file", MANY as usize, "to = \"file\""),
    ];
    let daemon = Daemon::start(&stage.system, 2, bindings, &modules)?;
    let database = Database::create(daemon.directory().join("bare.redb"))?;
    let value = value();
    for number in 0..KEYS {
        // Each once, so that there is something to read.
        bare_set(&database, redb::Durability::None, number, &value)?;
    }
    let (set, get) = (Calls::set()?, Calls::get()?);
    for (module, ..) in modules {
        stage.system.block_on(daemon.call(module, "calls", set.times(KEYS)?))?;
    }
    let one = |module, calls| daemon.host_calls("host call", module, 1, calls);
    let many = |module, calls| daemon.host_calls("host call, 64 in flight", module, MANY, calls);
    for (module, what) in
        [("now", "keyvalue on redb, get, out of its cache"), ("file", "keyvalue on redb without a cache, get")]
    {
        let mut number = 0;
        let bare = Contender::waiting("crate redb", || {
            number = (number + 1) % KEYS;
            bare_get(&database, number)
        });
        report.times(what, &race_at(WAITING, vec![one(module, &get), bare, many(module, &get)])?);
    }
    for (module, what, durability) in [
        ("now", "keyvalue on redb, set, durability = \"immediate\"", redb::Durability::Immediate),
        ("soon", "keyvalue on redb, set, durability = \"eventual\"", redb::Durability::None),
    ] {
        let mut number = 0;
        let bare = Contender::waiting("crate redb", || {
            number = (number + 1) % KEYS;
            bare_set(&database, durability, number, &value)
        });
        report.times(what, &race_at(WAITING, vec![one(module, &set), bare, many(module, &set)])?);
    }
    daemon.stop()
}

fn bare_get(database: &Database, number: u32) -> Result<(), Failure> {
    let table = database.begin_read()?.open_table(TABLE)?;
    let found = table.get(key(number).as_bytes())?.map(|value| Bytes::copy_from_slice(value.value()));
    found.map(drop).ok_or_else(|| "the database has lost a key".into())
}

fn bare_set(database: &Database, durability: redb::Durability, number: u32, value: &[u8]) -> Result<(), Failure> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    transaction.open_table(TABLE)?.insert(key(number).as_bytes(), value)?;
    Ok(transaction.commit()?)
}
