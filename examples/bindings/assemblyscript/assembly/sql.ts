// `sql`: a database. Values go beside the statement, never into it.

import { Result } from "@wapc/as-guest";
import { ask, done, lines, text, words } from "./host";
import { quoted, Request } from "./json";

// A statement, with what `$1`, `$2` and so on stand for: texts are quoted, numbers are not.
function statement(sql: string, params: string[]): Request {
  return new Request().text("sql", sql).json("params", "[" + params.join(",") + "]");
}

// Makes the table of accounts, where it is missing.
export function create(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const sql = "CREATE TABLE IF NOT EXISTS accounts (owner TEXT PRIMARY KEY, amount BIGINT NOT NULL CHECK (amount >= 0))";
  return done(ask("sql", "execute", statement(sql, [])));
}

// `OWNER AMOUNT`: opens an account and answers how many rows that changed.
export function execute(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const amount = I64.parseInt(word[1]).toString();
  const sql = "INSERT INTO accounts (owner, amount) VALUES ($1, $2)";
  const answer = ask("sql", "execute", statement(sql, [quoted(word[0]), amount]));
  return answer.failed ? answer.failure : text(answer.get("changed").text);
}

// `AMOUNT`: answers `OWNER AMOUNT` of all accounts that have at least so much, a line each.
export function query(payload: ArrayBuffer): Result<ArrayBuffer> {
  const least = I64.parseInt(words(payload, 1)[0]).toString();
  const sql = "SELECT owner, amount FROM accounts WHERE amount >= $1 ORDER BY owner";
  const answer = ask("sql", "query", statement(sql, [least]));
  if (answer.failed) return answer.failure;
  const rows = answer.get("rows").items;
  const all: string[] = [];
  for (let i = 0; i < rows.length; i++) all.push(rows[i].get("owner").text + " " + rows[i].get("amount").text);
  return lines(all);
}

// `FROM TO AMOUNT`: moves an amount in one transaction, of which everything happens or nothing.
export function batch(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 3);
  const amount = I64.parseInt(word[2]);
  const sql = "UPDATE accounts SET amount = amount + $1 WHERE owner = $2";
  const statements = [
    statement(sql, [(-amount).toString(), quoted(word[0])]),
    statement(sql, [amount.toString(), quoted(word[1])]),
  ];
  const answer = ask("sql", "batch", new Request().objects("statements", statements));
  if (answer.failed) return answer.failure;
  const results = answer.get("results").items;
  let changed: i64 = 0;
  for (let i = 0; i < results.length; i++) changed += results[i].get("changed").int;
  return text(changed.toString());
}
