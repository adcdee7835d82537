// A request's body made of what stands in the form, and the command that sends it. No document here: it can be tested alone.

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * A value as JSON. What is no number where one is wanted goes as the text that it is: the server says what is wrong with it.
 * @param {string} text @param {string} type of JSON Schema, or "any" @param {boolean} isChoice the text is JSON already
 * @returns {string}
 */
export function valueOf(text, type, isChoice) {
  if (isChoice) return text;
  if (type === "string") return JSON.stringify(text);
  const plain = text.trim();
  if (type === "number" || type === "integer") return NUMBER.test(plain) ? plain : JSON.stringify(text);
  try {
    JSON.parse(plain);
    return plain;
  } catch {
    return JSON.stringify(text);
  }
}

/**
 * @typedef {{name: string, type: string, text: string, isChoice: boolean, isOptional: boolean, isNullable: boolean}} Field
 * @param {Field[]} fields @returns {string} an object as JSON; an empty field is left out or null, as its column lets it be
 */
export function objectOf(fields) {
  const parts = [];
  for (const field of fields) {
    if (field.text.trim() === "" && (field.type !== "string" || field.isChoice || field.isOptional || field.isNullable)) {
      if (field.isNullable) parts.push(`${JSON.stringify(field.name)}: null`);
      continue;
    }
    parts.push(`${JSON.stringify(field.name)}: ${valueOf(field.text, field.type, field.isChoice)}`);
  }
  return `{${parts.join(", ")}}`;
}

/** @param {Field[]} fields @param {string} kind of the schema @param {boolean} isBody nothing is around the inputs @returns {string} */
export function bodyOf(fields, kind, isBody) {
  const inner = kind === "columns" ? `[${objectOf(fields)}]` : objectOf(fields);
  return isBody && kind !== "columns" ? inner : `{"inputs": ${inner}}`;
}

/** @param {string} text @returns {string} quoted for a shell */
export function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @param {string} url @param {string} body @param {boolean} hasKey @returns {string} */
export function commandOf(url, body, hasKey) {
  const key = hasKey ? ' \\\n  -H "authorization: Bearer $FAIRWAY_KEY"' : "";
  return `curl ${quoted(url)} \\\n  -H 'content-type: application/json'${key} \\\n  -d ${quoted(body)}`;
}

/** @param {string} text @returns {string} JSON laid out, lists of plain values on one line; other text as it is */
export function pretty(text) {
  try {
    const laid = JSON.stringify(JSON.parse(text), null, 2);
    return laid.replace(/\[\s+((?:-?[\d.eE+-]+|true|false|null)(?:,\s+(?:-?[\d.eE+-]+|true|false|null))*)\s+\]/g, (_all, inner) => `[${inner.replace(/\s+/g, " ")}]`);
  } catch {
    return text;
  }
}
