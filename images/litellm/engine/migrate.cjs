#!/usr/bin/env node
// Migrates the database, as the official image does at its start.
//
// Several replicas start at once: a PostgreSQL advisory lock lets one migrate while the others wait. Prisma's own table
// (_prisma_migrations) records the applied migrations, so that a database can be used by this image and the official
// one. The lock is polled: a session that waits for it inside PostgreSQL has a snapshot, and CREATE INDEX CONCURRENTLY
// waits for that snapshot. PostgreSQL resolves this deadlock by failing the migration.

const { createHash, randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { forPg } = require('./database_url.cjs');

const MIGRATIONS = '/opt/litellm/lib/python3.11/site-packages/litellm_proxy_extras/migrations';
const LOCK = 72707369; // the advisory lock that Prisma's own migrations take
const WAIT_SECONDS = 120;
// Errors that don't resolve by waiting: a wrong password, a role that may not log in, a database that doesn't exist.
const HOPELESS = new Set(['28P01', '28000', '3D000']);
const POLL_MILLISECONDS = 1000;

const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`;

const pause = () => new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));

/** A connection, once the database accepts one. */
async function connected() {
  const { Client } = require('pg');
  const until = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const client = new Client({ connectionString: forPg(process.env.DATABASE_URL) });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (HOPELESS.has(error.code) || Date.now() > until) throw new Error(`the database can't be reached: ${error.code ?? error.message}`);
      await pause();
    }
  }
}

/** Waits for the lock as long as its holder lives; the pod's startup probe limits the time. */
async function locked(client) {
  for (;;) {
    const { rows } = await client.query('SELECT pg_try_advisory_lock($1) AS got', [LOCK]);
    if (rows[0].got) return;
    await pause();
  }
}

/** The statements around a migration's own: all or nothing, except where PostgreSQL forbids a transaction. */
function transaction(sql) {
  const code = sql.replace(/--.*$/gm, '');
  return /\bCONCURRENTLY\b/i.test(code) ? [] : ['BEGIN', 'COMMIT'];
}

async function apply(client, name) {
  const sql = fs.readFileSync(path.join(MIGRATIONS, name, 'migration.sql'), 'utf8');
  const checksum = createHash('sha256').update(sql).digest('hex');
  const [begin, commit] = transaction(sql);
  try {
    if (begin) await client.query(begin);
    await client.query(sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
       VALUES ($1, $2, now(), $3, 1)`,
      [randomUUID(), checksum, name],
    );
    if (commit) await client.query(commit);
  } catch (error) {
    throw new Error(`migration ${name} failed: ${error.message}`);
  }
}

async function main() {
  const client = await connected();
  try {
    await locked(client);
    await client.query(TABLE);
    const { rows } = await client.query('SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL');
    const applied = new Set(rows.map((row) => row.migration_name));
    const names = fs.readdirSync(MIGRATIONS).filter((name) => fs.existsSync(path.join(MIGRATIONS, name, 'migration.sql')));
    const waiting = names.sort().filter((name) => !applied.has(name));
    for (const name of waiting) await apply(client, name);
    console.log(`migrations: ${waiting.length} applied, ${applied.size} there already`);
  } finally {
    await client.end();
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
