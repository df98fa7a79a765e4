// The part of DATABASE_URL for pg: the address and the TLS parameters. The other parameters (connection_limit,
// pool_timeout, schema, pgbouncer …) are Prisma's own.

const TLS = new Set(['sslmode', 'sslcert', 'sslkey', 'sslrootcert', 'uselibpqcompat']);

/** A database's URL in the form that pg accepts. */
function forPg(text) {
  const url = new URL(text);
  for (const name of [...url.searchParams.keys()]) if (!TLS.has(name)) url.searchParams.delete(name);
  return url.toString();
}

module.exports = { forPg };
