// Graphs for the tests, the same each time.

/** Numbers from 0 to 1 that look random and are not. */
export function chance(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A random acyclic drawing; some of its nodes lie in groups, and some groups in groups. */
export function randomDrawing(seed, { nodes = 40, edges = 60, groups = 0, dir = "down" } = {}) {
  const next = chance(seed);
  const pick = (below) => Math.floor(next() * below);
  const made = Array.from({ length: groups }, (_, n) => ({ id: `g${n}`, parent: n && next() < 0.4 ? `g${pick(n)}` : "" }));
  const boxes = Array.from({ length: nodes }, (_, n) => ({ id: `n${n}`, w: 120 + 8 * pick(14), h: 40 + 8 * pick(3), group: groups && next() < 0.6 ? `g${pick(groups)}` : "" }));
  const links = [];
  for (let n = 0; n < edges; n += 1) {
    const a = pick(nodes), b = pick(nodes);
    if (a !== b) links.push([`n${Math.min(a, b)}`, `n${Math.max(a, b)}`]);
  }
  return { nodes: boxes, groups: made, edges: links, dir };
}

/** graph.json of `node(id, …)`s and edges "a b". */
export function graphData(nodes, edges = [], groups = []) {
  return {
    run: "r", digest: "d", head: 1, status: "running",
    nodes: nodes.map((one) => ({ label: one.id, step: one.id, kind: "python", group: "", total: 1, counts: { [one.status ?? "succeeded"]: 1 }, status: "succeeded", ...one })),
    edges: edges.map((edge) => { const [from, to] = edge.split(" "); return { from, to }; }),
    groups: groups.map((group) => ({ label: group.id, parent: "", kind: "pipeline", status: "succeeded", counts: {}, ...group })),
  };
}
