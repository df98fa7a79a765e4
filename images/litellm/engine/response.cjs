// Converts the engine's responses into the shape that the Python client reads.

/** Values without the JSON protocol's type tags. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  if ('$type' in value) return value.value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

const parsed = (value) => (typeof value === 'string' ? JSON.parse(value) : value);

/** A raw query's rows, with JSON columns parsed. */
function rawRows(result) {
  if (!result || !Array.isArray(result.columns)) return result;
  const cell = (value, type) => {
    if (value === null) return null;
    if (type === 'json') return parsed(value);
    return type === 'json-array' ? value.map(parsed) : value;
  };
  return { ...result, rows: result.rows.map((row) => row.map((value, i) => cell(value, result.types[i]))) };
}

/** The response to one operation, under the query's name for it. */
function answer(field, result) {
  if (result.errors) return result;
  const name = field.alias?.value ?? field.name.value;
  return { data: { [name]: rawRows(plain(Object.values(result.data)[0])) } };
}

module.exports = { answer };
