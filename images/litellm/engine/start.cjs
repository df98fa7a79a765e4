#!/usr/bin/env node
// Brings the database up to date, as the official image does at its start, and then becomes the proxy.
//
// Several replicas start at once: a PostgreSQL advisory lock lets one migrate while the others wait, and the table
// that Prisma itself keeps (_prisma_migrations) says what has been applied, so that a database can move between this
// image and the official one.

const { createHash, randomUUID } = require('node:crypto');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const MIGRATIONS = '/opt/litellm/lib/python3.11/site-packages/litellm_proxy_extras/migrations';
const LOCK = 72707369; // the advisory lock that Prisma's own migrations take
const WAIT_SECONDS = 120;

const TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
  id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
  migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
  started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)`;

/** A connection, once the database takes one. */
async function connected() {
  const { Client } = require('pg');
  const url = new URL(process.env.DATABASE_URL);
  url.search = '';
  const until = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const client = new Client({ connectionString: url.toString() });
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (Date.now() > until) throw new Error(`the database can't be reached: ${error.code ?? error.message}`);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

async function migrate() {
  const client = await connected();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
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

async function apply(client, name) {
  const sql = fs.readFileSync(path.join(MIGRATIONS, name, 'migration.sql'), 'utf8');
  const checksum = createHash('sha256').update(sql).digest('hex');
  try {
    await client.query(sql);
  } catch (error) {
    throw new Error(`migration ${name} failed: ${error.message}`);
  }
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
     VALUES ($1, $2, now(), $3, 1)`,
    [randomUUID(), checksum, name],
  );
}

async function main() {
  const { DATABASE_URL: url, DISABLE_SCHEMA_UPDATE: disabled } = process.env;
  if (url && disabled?.toLowerCase() !== 'true') await migrate();
  const env = { ...process.env, DISABLE_SCHEMA_UPDATE: 'true' };
  const proxy = spawn('/opt/litellm/bin/litellm', process.argv.slice(2), { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => proxy.kill(signal));
  proxy.on('exit', (code, signal) => process.exit(signal ? 1 : code));
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
