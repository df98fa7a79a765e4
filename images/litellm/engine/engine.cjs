#!/usr/bin/env node
// Prisma's query engine in the form that the Python client expects (an executable that serves HTTP), using the
// WebAssembly build of the same engine from @prisma/client. For machines that can't download the native engine.

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { forPg } = require('./database_url.cjs');
const { answer } = require('./response.cjs');
const { topLevel, translator } = require('./request.cjs');
const { fieldTypes } = require('./schema.cjs');
const { TolerantClient } = require('./tolerant_client.cjs');

const VERSION = '393aa359c9ad4a4bb28630fb5613f9c281cde053'; // the engine of Prisma 5.17.0
const POOL_SIZE = 10;

/** Runs the GraphQL of a request body on the engine and returns the JSON text of the answer. */
async function run(engine, translate, body, trace, transaction) {
  const query = async (request) => JSON.parse(await engine.query(JSON.stringify(request), trace, transaction));
  const request = JSON.parse(body);
  if (request.batch) {
    const fields = request.batch.map((part) => topLevel(part.query)[0]);
    const result = await query({
      batch: fields.map(translate.operation),
      transaction: request.transaction ? { isolationLevel: null } : undefined,
    });
    if (!result.batchResult) return JSON.stringify(result);
    return JSON.stringify({ batchResult: result.batchResult.map((part, i) => answer(fields[i], part)) });
  }
  const fields = topLevel(request.query);
  if (fields.length === 1) return JSON.stringify(answer(fields[0], await query(translate.operation(fields[0]))));
  const result = await query({ batch: fields.map(translate.operation), transaction: { isolationLevel: null } });
  const failed = result.errors ? result : result.batchResult.find((part) => part.errors);
  if (failed) return JSON.stringify(failed);
  return JSON.stringify({ data: Object.assign({}, ...result.batchResult.map((part, i) => answer(fields[i], part).data)) });
}

async function connect(trace) {
  const runtime = path.join(path.dirname(require.resolve('@prisma/client/package.json')), 'runtime');
  const glue = require(path.join(runtime, 'query_engine_bg.postgresql.js'));
  const { Pool } = require('pg');
  const { PrismaPg } = require('@prisma/adapter-pg');
  const { bindAdapter } = require('@prisma/driver-adapter-utils');
  const wasm = fs.readFileSync(path.join(runtime, 'query_engine_bg.postgresql.wasm'));
  const { instance } = await WebAssembly.instantiate(wasm, { './query_engine_bg.js': glue });
  glue.__wbg_set_wasm(instance.exports);
  const pool = new Pool({ connectionString: databaseUrl(), max: POOL_SIZE, Client: TolerantClient });
  pool.on('error', (error) => console.error(`query engine: idle connection lost: ${error.message}`));
  const datamodel = fs.readFileSync(process.env.PRISMA_DML_PATH, 'utf8');
  const options = { datamodel, logLevel: 'error', logQueries: false, engineProtocol: 'json' };
  const engine = new glue.QueryEngine(options, () => {}, bindAdapter(new PrismaPg(pool)));
  await engine.connect(trace);
  return { engine, translate: translator(fieldTypes(datamodel)) };
}

function databaseUrl() {
  let text = process.env.DATABASE_URL;
  if (process.env.OVERWRITE_DATASOURCES) text = JSON.parse(process.env.OVERWRITE_DATASOURCES)[0]?.url ?? text;
  return forPg(text);
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function route(request, { engine, translate }, trace) {
  if (request.url === '/status') return '{"status":"ok"}';
  if (request.url.startsWith('/metrics')) return '{"counters":[],"gauges":[],"histograms":[]}';
  const body = await readBody(request);
  if (request.url === '/') return run(engine, translate, body, trace, request.headers['x-transaction-id']);
  if (request.url === '/transaction/start') return engine.startTransaction(body, trace);
  const [, id, end] = request.url.match(/^\/transaction\/([^/]+)\/(commit|rollback)$/) ?? [];
  if (end === 'commit') return engine.commitTransaction(id, trace);
  if (end === 'rollback') return engine.rollbackTransaction(id, trace);
  return undefined;
}

async function main(args) {
  if (args.includes('--version') || args.includes('-V')) {
    console.log(`query-engine ${VERSION}`);
    return;
  }
  const trace = JSON.stringify({});
  const connected = await connect(trace);
  const server = http.createServer(async (request, response) => {
    let status = 200;
    let text;
    try {
      text = await route(request, connected, trace);
      if (text === undefined) [status, text] = [404, '{}'];
    } catch (error) {
      console.error('query engine:', error);
      [status, text] = [500, JSON.stringify({ error: String(error) })];
    }
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(text);
  });
  server.keepAliveTimeout = 60_000;
  server.listen(Number(args[args.indexOf('-p') + 1]), '127.0.0.1');
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
}

main(process.argv.slice(2)).catch((error) => {
  console.error('query engine:', error);
  process.exit(1);
});
