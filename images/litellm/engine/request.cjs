// Translates the Python client's GraphQL into Prisma's JSON protocol, which the WebAssembly engine uses.

const { parse } = require('graphql');

// Longest first, so that a longer action isn't matched by its prefix.
const ACTIONS = [
  'findUniqueOrThrow', 'findUnique', 'findFirstOrThrow', 'findFirst', 'findMany',
  'createManyAndReturn', 'createMany', 'createOne', 'updateMany', 'updateOne', 'upsertOne',
  'deleteMany', 'deleteOne', 'aggregate', 'groupBy',
];
const RAW = ['queryRaw', 'executeRaw'];
// Filters and operations on a JSON field whose operand is JSON itself.
const JSON_OPERANDS = new Set(['equals', 'not', 'set', 'push', 'array_contains']);

/** Creates a translator for the models of a schema (see schema.cjs). */
function translator(models) {
  function literal(node, model, type) {
    switch (node.kind) {
      case 'IntValue': {
        const number = Number(node.value);
        return Number.isSafeInteger(number) ? number : { $type: 'BigInt', value: node.value };
      }
      case 'FloatValue':
        return Number(node.value);
      case 'StringValue':
        return type === 'Json' ? { $type: 'Json', value: node.value } : node.value;
      case 'EnumValue':
      case 'BooleanValue':
        return node.value;
      case 'NullValue':
        return null;
      case 'ListValue':
        return node.values.map((value) => literal(value, model, type));
      case 'ObjectValue':
        return Object.fromEntries(node.fields.map((field) => [field.name.value, property(field, model, type)]));
      default:
        throw new Error(`unsupported GraphQL value ${node.kind}`);
    }
  }

  function property(field, model, type) {
    const name = field.name.value;
    if (type === 'Json') return literal(field.value, model, JSON_OPERANDS.has(name) ? 'Json' : 'String');
    const known = models[model]?.[name];
    if (known === undefined) return literal(field.value, model, type);
    return known in models ? literal(field.value, known) : literal(field.value, model, known);
  }

  const args = (field, model) =>
    Object.fromEntries((field.arguments ?? []).map((arg) => [arg.name.value, literal(arg.value, model)]));

  function selection(set, model) {
    return Object.fromEntries(
      set.selections.map((field) => {
        const name = field.name.value;
        if (!field.selectionSet && !field.arguments?.length) return [name, true];
        const target = models[model]?.[name];
        const inner = target in models ? target : model;
        return [name, {
          arguments: args(field, inner),
          selection: field.selectionSet ? selection(field.selectionSet, inner) : {},
        }];
      }),
    );
  }

  /** One top-level GraphQL field as an operation of the JSON protocol. */
  function operation(field) {
    const name = field.name.value;
    if (RAW.includes(name)) return { action: name, query: { arguments: args(field), selection: {} } };
    const action = ACTIONS.find((candidate) => name.startsWith(candidate));
    if (!action) throw new Error(`unknown operation ${name}`);
    const modelName = name.slice(action.length);
    return {
      modelName,
      action,
      query: {
        arguments: args(field, modelName),
        selection: field.selectionSet ? selection(field.selectionSet, modelName) : {},
      },
    };
  }

  return { operation };
}

/** The top-level fields of a GraphQL document. */
const topLevel = (query) => parse(query).definitions[0].selectionSet.selections;

module.exports = { translator, topLevel };
