// Ranks of a layered layout, and the dummies that stand for long edges in the ranks between.

/** A rank holds no more than this of so many nodes: a graph is to be about as wide as it is high. */
function roomOf(count) {
  return Math.max(16, Math.ceil(1.15 * Math.sqrt(count)));
}

/**
 * Ranks: as early as what a node needs allows, and as there is room (Coffman and Graham, 1972); a node that needs little and that many wait
 * for stands close to those. Cycles are cut.
 * @param {number} count
 * @param {{n: number[], from: number, to: number}[]} given edges; `n` are their numbers. Those between the same two are merged.
 */
export function rankNodes(count, given) {
  const links = merge(given);
  const out = Array.from({ length: count }, () => []), into = new Int32Array(count);
  for (const link of links) {
    out[link.from].push(link.to);
    into[link.to] += 1;
  }
  const sorted = sortNodes(count, out, into);
  const place = new Int32Array(count);
  sorted.forEach((node, n) => { place[node] = n; });
  const after = Array.from({ length: count }, () => []), before = Array.from({ length: count }, () => []);
  for (const link of links) {
    link.back = place[link.from] > place[link.to];
    [link.top, link.end] = link.back ? [link.to, link.from] : [link.from, link.to];
    after[link.top].push(link.end);
    before[link.end].push(link.top);
  }
  const rank = new Int32Array(count), held = [];
  const room = roomOf(count);
  for (const node of sorted) {
    let at = 0;
    for (const other of before[node]) at = Math.max(at, rank[other] + 1);
    while ((held[at] ?? 0) >= room) at += 1;
    rank[node] = at;
    held[at] = (held[at] ?? 0) + 1;
  }
  for (let n = count - 1; n >= 0; n -= 1) {
    const node = sorted[n];
    if (after[node].length <= before[node].length) continue;
    const at = Math.min(...after[node].map((other) => rank[other])) - 1;
    if (at === rank[node] || held[at] >= room) continue;
    held[rank[node]] -= 1;
    held[at] = (held[at] ?? 0) + 1;
    rank[node] = at;
  }
  return { links, rank: closeGaps(rank, held), ranks: held.filter(Boolean).length };
}

/** Ranks that have lost all their nodes are no ranks. */
function closeGaps(rank, held) {
  let next = 0;
  const place = Array.from(held, (some) => {
    if (!some) return -1;
    next += 1;
    return next - 1;
  });
  return rank.map((at) => place[at]);
}

function merge(given) {
  const found = new Map();
  for (const { n, from, to } of given) {
    const key = `${from} ${to}`;
    if (found.has(key)) found.get(key).n.push(...n);
    else found.set(key, { n: [...n], from, to, back: false, top: from, end: to });
  }
  return [...found.values()];
}

/** A topological order, breadth first in the given one; a cycle is entered at its first node. */
function sortNodes(count, out, into) {
  const left = Int32Array.from(into);
  const done = new Uint8Array(count);
  const sorted = [], queue = [];
  let head = 0, first = 0;
  for (let node = 0; node < count; node += 1) if (!left[node]) queue.push(node);
  while (sorted.length < count) {
    if (head === queue.length) {
      while (done[first]) first += 1;
      queue.push(first);
    }
    const node = queue[head];
    head += 1;
    if (done[node]) continue;
    done[node] = 1;
    sorted.push(node);
    for (const to of out[node]) {
      left[to] -= 1;
      if (!left[to] && !done[to]) queue.push(to);
    }
  }
  return sorted;
}

/**
 * The graph in ranks, long edges as chains of dummies. Edges that leave the same node share theirs, or those that end at the same: a trunk
 * that branches is easier to follow than many lines, and there are far fewer dummies. An edge that comes into a group or leaves it has
 * dummies ("ports") up to the group's first rank, or down to its last.
 * @returns the graph: `real` nodes before dummies; `down`: for each the ones it is linked to in the next rank
 */
export function addDummies(items, { links, rank, ranks }, ports) {
  const graph = { real: items.length, ranks, rank: [...rank], w: items.map((item) => item.w), down: items.map(() => []), chains: [], ports: new Map() };
  const shared = new Map();
  const dummy = (trunk, at) => {
    const name = `${trunk} ${at}`;
    if (!shared.has(name)) {
      shared.set(name, graph.rank.length);
      graph.rank.push(at);
      graph.w.push(0);
      graph.down.push([]);
    }
    return shared.get(name);
  };
  const between = (trunk, from, to) => Array.from({ length: Math.max(0, to - from - 1) }, (_, n) => dummy(trunk, from + 1 + n));
  const connect = (path) => {
    for (let n = 1; n < path.length; n += 1) if (!graph.down[path[n - 1]].includes(path[n])) graph.down[path[n - 1]].push(path[n]);
  };
  const leaving = new Map(), ending = new Map();
  for (const { top, end } of links) {
    if (rank[end] - rank[top] < 2) continue;
    leaving.set(top, (leaving.get(top) ?? 0) + 1);
    ending.set(end, (ending.get(end) ?? 0) + 1);
  }
  for (const { n, top, end, back } of links) {
    const trunk = (leaving.get(top) ?? 0) >= (ending.get(end) ?? 0) ? `from ${top}` : `to ${end}`;
    const points = between(trunk, rank[top], rank[end]);
    connect([top, ...points, end]);
    graph.chains.push({ n, top, end, back, points });
  }
  for (const { n, side, node } of ports) {
    const points = side === "in" ? between(`in ${node}`, -1, rank[node]) : between(`out ${node}`, rank[node], ranks);
    connect(side === "in" ? [...points, node] : [node, ...points]);
    graph.ports.set(`${side}${n}`, { node, points });
  }
  return graph;
}
