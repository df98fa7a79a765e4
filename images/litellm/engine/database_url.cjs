// What pg is told of DATABASE_URL: the address and what it says of TLS. The other parameters (connection_limit,
// pool_timeout, schema, pgbouncer …) are Prisma's own.

const TLS = new Set(['sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'uselibpqcompat']);

/** A database's URL as pg takes it. */
function forPg(text) {
  const url = new URL(text);
  for (const name of [...url.searchParams.keys()]) if (!TLS.has(name)) url.searchParams.delete(name);
  return url.toString();
}

module.exports = { forPg };
