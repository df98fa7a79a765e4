// The field types of a Prisma schema: which field is JSON, which is a relation to another model.

/** {model: {field: type}} of a Prisma schema's text. */
function fieldTypes(schema) {
  const models = {};
  for (const [, name, body] of schema.matchAll(/^model\s+(\w+)\s*\{([\s\S]*?)^\}/gm)) {
    models[name] = {};
    for (const [, field, type] of body.matchAll(/^\s*(\w+)\s+(\w+)(\[\])?/gm)) models[name][field] = type;
  }
  return models;
}

module.exports = { fieldTypes };
