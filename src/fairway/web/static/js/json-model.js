// JSON without its picture: reading it, and naming what is in it.

/** Where `key` of what stands at `path` stands, as one writes it in a program. */
export function pathOf(path, key, listed) {
  if (listed) return `${path}[${key}]`;
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path ? `${path}.${key}` : key;
}

/** JSON as Python writes it: NaN and the infinities become null. */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    const plain = text.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (found) => (found.startsWith('"') ? found : "null"));
    if (plain === text) throw error;
    return JSON.parse(plain);
  }
}

/** Does it hold others? */
export function isHolder(value) {
  return value !== null && typeof value === "object" && (Array.isArray(value) ? value.length > 0 : Object.keys(value).length > 0);
}

/** The ways (keys from the root) to whatever has `text` in its key or value, in order; at most `most`. */
export function find(root, text, most = 1000) {
  const wanted = text.toLowerCase();
  const hits = [];
  const stack = [{ key: "", value: root, above: null, listed: true }];
  while (stack.length && hits.length < most) {
    const entry = stack.pop();
    const { key, value, listed } = entry;
    const holds = value !== null && typeof value === "object";
    if ((!listed && key.toLowerCase().includes(wanted)) || (!holds && String(value).toLowerCase().includes(wanted))) hits.push(way(entry));
    if (!holds) continue;
    if (Array.isArray(value)) for (let n = value.length - 1; n >= 0; n--) stack.push({ key: n, value: value[n], above: entry, listed: true });
    else for (const name of Object.keys(value).reverse()) stack.push({ key: name, value: value[name], above: entry, listed: false });
  }
  return hits;
}

function way(entry) {
  const keys = [];
  for (let one = entry; one.above; one = one.above) keys.unshift(one.key);
  return keys;
}
