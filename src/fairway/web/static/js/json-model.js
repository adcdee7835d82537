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
