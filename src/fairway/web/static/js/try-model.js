// A form out of a JSON Schema: which fields there are, what is written into them as JSON, what is sent. Pure.

const MOST_FIELDS = 200;
const DEPTH = 6;

/**
 * What one field is: `kind` "object" (`children`), "list" (`item`: its items are objects), "number", "integer", "boolean", "choice"
 * (`choices`), "string" or "json" (anything, written as JSON). `nullable`: it may be null. `required`: it may not be left out.
 */
function makeField(name, schema, root, required, depth = 0) {
  const resolved = resolve(schema, root);
  const { bare, nullable } = withoutNull(resolved, root);
  const types = typesOf(bare);
  const field = {
    name, required, nullable, kind: "json", title: bare.title ?? resolved.title ?? "", help: bare.description ?? resolved.description ?? "",
    type: types.length === 1 ? types[0] : "", default: bare.default ?? resolved.default, limits: spellLimits(bare),
  };
  if (Array.isArray(bare.enum) || "const" in bare) return { ...field, kind: "choice", choices: (bare.enum ?? [bare.const]).filter((one) => one !== null), nullable: nullable || Boolean(bare.enum?.includes(null)) };
  if (types.length !== 1 || bare.oneOf || bare.anyOf) return field;
  const [type] = types;
  if (type === "object" && bare.properties && depth < DEPTH) {
    const needed = new Set(bare.required ?? []);
    const children = Object.entries(bare.properties).slice(0, MOST_FIELDS).map(([key, one]) => makeField(key, one, root, needed.has(key), depth + 1));
    return { ...field, kind: "object", children };
  }
  if (type === "array") {
    const item = bare.items && depth < DEPTH ? makeField("", bare.items, root, true, depth + 1) : null;
    return item?.kind === "object" ? { ...field, kind: "list", item } : field;
  }
  return ["number", "integer", "boolean", "string"].includes(type) ? { ...field, kind: type, format: bare.format ?? "" } : field;
}

/** The form for what the schema calls "inputs". `wrap`: how a value becomes a body; `rows`: the form is one row of several. */
export function describe(schema) {
  const inputs = schema?.properties?.inputs;
  if (!inputs || typeof inputs !== "object" || !Object.keys(inputs).length) return null;
  const bare = withoutNull(resolve(inputs, schema), schema).bare;
  if (typesOf(bare)[0] === "array" && bare.items) {
    const item = makeField("", bare.items, schema, true);
    if (item.kind === "object") return { field: item, rows: true };
  }
  return { field: makeField("", inputs, schema, true), rows: false };
}

/** The value that the form begins with: the example's, or what the schema says is usual. */
export function firstValue(form, example) {
  const given = inputsOf(example);
  if (form.rows) {
    const first = Array.isArray(given) ? given[0] : Array.isArray(given?.data) && given.columns ? given.data[0] : undefined;
    const names = given?.columns ?? form.field.children.map((one) => one.name);
    if (Array.isArray(first)) return Object.fromEntries(names.map((name, n) => [name, first[n]]));
    if (first && typeof first === "object") return first;
    if (given && typeof given === "object" && !Array.isArray(given)) return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]));
    return usual(form.field) ?? {};
  }
  return given ?? usual(form.field);
}

function inputsOf(example) {
  if (example === null || example === undefined) return undefined;
  if (typeof example !== "object" || Array.isArray(example)) return example;
  return example.inputs ?? (example.columns ? example : example.data ?? example.instances ?? example);
}

/** What stands in a field nobody has written into: its default, the members of an object that have one; else undefined. */
export function usual(field) {
  if (field.default !== undefined) return field.default;
  if (field.kind !== "object") return undefined;
  const some = field.children.map((one) => [one.name, usual(one)]).filter(([, value]) => value !== undefined);
  return some.length ? Object.fromEntries(some) : undefined;
}

/** The body for a value of the form; `bare`: the body is what the schema calls "inputs", without that name around it. */
export function bodyOf(form, value, bare = false) {
  const inputs = form.rows ? [value] : value;
  return bare ? inputs : { inputs };
}

/** The value that `text` stands for in a field; undefined where nothing is written and nothing need be. Throws what is wrong, in words. */
export function readText(field, text) {
  const bare = text.trim();
  if (field.kind === "string") return text === "" && !field.required ? undefined : text;
  if (!bare) {
    if (!field.required) return undefined;
    throw new Error("a value is missing");
  }
  if (field.kind === "choice") return field.choices.find((one) => spellValue(one) === text) ?? bare;
  if (field.kind === "boolean") return bare === "true";
  if (field.kind === "number" || field.kind === "integer") {
    const number = Number(bare.replace(/^([^.,]*),([^.,]*)$/, "$1.$2"));
    if (Number.isNaN(number)) throw new Error(`${bare} is no number`);
    if (field.kind === "integer" && !Number.isInteger(number)) throw new Error("a whole number is expected");
    return number;
  }
  try {
    return JSON.parse(bare);
  } catch {
    throw new Error("this is not JSON: texts stand in \"quotes\"");
  }
}

/** How a value is written into a field. */
export function spellValue(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Rows that were pasted, as CSV: what a spreadsheet separates by tabs is put into quotes where it must be. */
export function toCsv(text) {
  const lines = text.replace(/\r\n?/g, "\n").replace(/\n+$/, "").split("\n");
  if (!lines[0].includes("\t")) return `${lines.join("\n")}\n`;
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return `${lines.map((line) => line.split("\t").map(quoted).join(",")).join("\n")}\n`;
}

/** The request as curl sends it. */
export function spellCurl(url, kind, body, keyed) {
  const quoted = (text) => `'${text.replaceAll("'", `'"'"'`)}'`;
  const key = keyed ? ` -H "Authorization: Bearer $FAIRWAY_KEY"` : "";
  return `curl ${url}/predict${key} -H 'Content-Type: ${kind === "csv" ? "text/csv" : "application/json"}' ${kind === "csv" ? "--data-binary" : "-d"} ${quoted(body)}`;
}

/** What an answer says is wrong: [row, field, text], none for an answer that is none of ours. */
export function faultsOf(answer) {
  const faults = answer?.error?.faults;
  if (!Array.isArray(faults)) return [];
  return faults.map(({ row, field, came, expected }) => ({ row, field: field ?? "", text: `came ${came}, expected ${expected}` }));
}

function resolve(schema, root, depth = 0) {
  if (schema === true || schema === undefined || typeof schema !== "object" || schema === null) return {};
  if (!schema.$ref || depth > 20) return schema;
  const found = schema.$ref.startsWith("#/") ? schema.$ref.slice(2).split("/").reduce((at, key) => at?.[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")], root) : undefined;
  return { ...resolve(found, root, depth + 1), ...Object.fromEntries(Object.entries(schema).filter(([key]) => key !== "$ref")) };
}

function typesOf(schema) {
  const types = Array.isArray(schema.type) ? schema.type : schema.type ? [schema.type] : schema.properties ? ["object"] : [];
  return types.filter((type) => type !== "null");
}

/** The schema without its "or null". */
function withoutNull(schema, root) {
  const nullable = Array.isArray(schema.type) && schema.type.includes("null");
  for (const key of ["anyOf", "oneOf"]) {
    if (!Array.isArray(schema[key])) continue;
    const some = schema[key].map((one) => resolve(one, root));
    const rest = some.filter((one) => one.type !== "null");
    if (rest.length === 1) {
      const { [key]: _, ...outer } = schema;
      const inner = withoutNull({ ...outer, ...rest[0] }, root);
      return { bare: inner.bare, nullable: nullable || inner.nullable || rest.length < some.length };
    }
  }
  return { bare: schema, nullable };
}

function spellLimits(schema) {
  const low = schema.minimum ?? schema.exclusiveMinimum, high = schema.maximum ?? schema.exclusiveMaximum;
  const said = [];
  if (low !== undefined && high !== undefined) said.push(`${low} to ${high}`);
  else if (low !== undefined) said.push(`${schema.minimum === undefined ? "above" : "at least"} ${low}`);
  else if (high !== undefined) said.push(`${schema.maximum === undefined ? "below" : "at most"} ${high}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.format) said.push(schema.format);
  return said.join(", ");
}
