// A guest that uses every operation of every binding, one small function for each. `../README.md` lists them.
//
// An operation here has the name of what it calls: `keyvalue.set` calls the operation `set` of the binding `keyvalue`.
// Payloads are words with spaces between, of which the last may have spaces of its own; answers are text.

import { handleAbort, handleCall, register } from "@wapc/as-guest";
import * as blob from "./blob";
import * as http from "./http_client";
import * as keyvalue from "./keyvalue";
import * as messaging from "./messaging";
import * as metrics from "./metrics";
import * as own from "./own";
import * as raw from "./raw";
import * as sql from "./sql";
import * as system from "./system";

register("keyvalue.set", keyvalue.set);
register("keyvalue.set_once", keyvalue.setOnce);
register("keyvalue.get", keyvalue.get);
register("keyvalue.exists", keyvalue.exists);
register("keyvalue.delete", keyvalue.remove);
register("keyvalue.keys", keyvalue.keys);
register("keyvalue.increment", keyvalue.increment);
register("keyvalue.compare_and_set", keyvalue.compareAndSet);
register("keyvalue.get_many", keyvalue.getMany);
register("keyvalue.set_many", keyvalue.setMany);
register("blob.put", blob.put);
register("blob.get", blob.get);
register("blob.get_part", blob.getPart);
register("blob.head", blob.head);
register("blob.list", blob.list);
register("blob.delete", blob.remove);
register("blob.copy", blob.copy);
register("sql.create", sql.create);
register("sql.execute", sql.execute);
register("sql.query", sql.query);
register("sql.batch", sql.batch);
register("messaging.publish", messaging.publish);
register("messaging.request", messaging.request);
register("http_client.get", http.get);
register("http_client.post", http.post);
register("config.get", own.configGet);
register("config.all", own.configAll);
register("secret.get", own.secretGet);
register("metrics.counter", metrics.counter);
register("metrics.gauge", metrics.gauge);
register("metrics.histogram", metrics.histogram);
register("system.now", system.now);
register("system.monotonic", system.monotonic);
register("system.random", system.random);
register("system.uuid", system.uuid);
register("system.identity", system.identity);
register("process.count", raw.processCount);
register("module.call", raw.moduleCall);
register("log.line", raw.logLine);

// The entry point of every call; the SDK finds the operation.
export function __guest_call(operationSize: usize, payloadSize: usize): bool {
  return handleCall(operationSize, payloadSize);
}

// Called for an uncaught error: reports it to the host before the guest traps.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  handleAbort(message, file, line, column);
}
