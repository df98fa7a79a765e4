// Replaces PostgreSQL's system types by the ordinary types with the same text format. Prisma's driver adapter refuses a
// column of an unknown type, while Prisma's native engine reads it as text: LiteLLM queries names from pg_views.

const { Client, types } = require('pg');

const TEXT = 25;
const TEXT_ARRAY = 1009;
const WRITTEN_LIKE = new Map([[19, TEXT], [1003, TEXT_ARRAY], [2205, TEXT]]); // name, name[], regclass

const known = (oid) => WRITTEN_LIKE.get(oid) ?? oid;

function withTypes(query) {
  if (query === null || typeof query !== 'object' || typeof query.submit === 'function') return query;
  const parsers = query.types ?? types;
  return { ...query, types: { getTypeParser: (oid, format) => parsers.getTypeParser(known(oid), format) } };
}

function renamed(result) {
  for (const field of result?.fields ?? []) field.dataTypeID = known(field.dataTypeID);
  return result;
}

/** A client whose results contain no system types. */
class TolerantClient extends Client {
  query(query, ...rest) {
    const callback = rest.at(-1);
    if (typeof callback === 'function') {
      return super.query(withTypes(query), ...rest.slice(0, -1), (error, result) => callback(error, renamed(result)));
    }
    const answer = super.query(withTypes(query), ...rest);
    return typeof answer?.then === 'function' ? answer.then(renamed) : answer;
  }
}

module.exports = { TolerantClient };
