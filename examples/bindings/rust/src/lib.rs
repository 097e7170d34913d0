//! A guest that uses every operation of every binding, one small function for each. `../README.md` lists them.
//!
//! An operation here has the name of what it calls: `keyvalue.set` calls the operation `set` of the binding `keyvalue`.
//! Payloads are words with spaces between, of which the last may have spaces of its own; answers are text.

mod blob;
mod host;
mod http_client;
mod keyvalue;
mod log;
mod messaging;
mod metrics;
mod module;
mod own;
mod process;
mod sql;
mod system;

use wapc_guest::prelude::*;

/// The host calls this once, after loading the guest and before the first call.
#[no_mangle]
pub extern "C" fn wapc_init() {
    for (name, function) in OPERATIONS {
        register_function(name, *function);
    }
}

const OPERATIONS: &[(&str, fn(&[u8]) -> CallResult)] = &[
    ("keyvalue.set", keyvalue::set),
    ("keyvalue.set_once", keyvalue::set_once),
    ("keyvalue.get", keyvalue::get),
    ("keyvalue.exists", keyvalue::exists),
    ("keyvalue.delete", keyvalue::delete),
    ("keyvalue.keys", keyvalue::keys),
    ("keyvalue.increment", keyvalue::increment),
    ("keyvalue.compare_and_set", keyvalue::compare_and_set),
    ("keyvalue.get_many", keyvalue::get_many),
    ("keyvalue.set_many", keyvalue::set_many),
    ("blob.put", blob::put),
    ("blob.get", blob::get),
    ("blob.get_part", blob::get_part),
    ("blob.head", blob::head),
    ("blob.list", blob::list),
    ("blob.delete", blob::delete),
    ("blob.copy", blob::copy),
    ("sql.create", sql::create),
    ("sql.execute", sql::execute),
    ("sql.query", sql::query),
    ("sql.batch", sql::batch),
    ("messaging.publish", messaging::publish),
    ("messaging.request", messaging::request),
    ("http_client.get", http_client::get),
    ("http_client.post", http_client::post),
    ("config.get", own::config_get),
    ("config.all", own::config_all),
    ("secret.get", own::secret_get),
    ("metrics.counter", metrics::counter),
    ("metrics.gauge", metrics::gauge),
    ("metrics.histogram", metrics::histogram),
    ("system.now", system::now),
    ("system.monotonic", system::monotonic),
    ("system.random", system::random),
    ("system.uuid", system::uuid),
    ("system.identity", system::identity),
    ("process.count", process::count),
    ("module.call", module::call),
    ("log.line", log::line),
];
