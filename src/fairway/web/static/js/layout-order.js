// The order of the nodes in each rank, so that few edges cross: sweeps down and up by the neighbours' mean place, the best order kept.

const ROUNDS = 24;
const PATIENCE = 5;

/** Gives the graph `order` (for each rank its nodes, from the left), `pos` (place in the rank), `up` (links to the rank above). */
export function order(graph) {
  const count = graph.rank.length;
  graph.up = graph.down.map(() => []);
  graph.down.forEach((ends, node) => { for (const end of ends) graph.up[end].push(node); });
  graph.pos = new Int32Array(count);
  graph.order = start(graph);
  place(graph);
  let best = graph.order.map((rank) => [...rank]), least = countCrossings(graph), idle = 0;
  const rounds = count > 20000 ? 6 : ROUNDS;
  for (let round = 0; round < rounds && least && idle < PATIENCE; round += 1) {
    sweep(graph, round % 2 === 0, round % 4 < 2);
    if (count < 3000) swap(graph);
    const now = countCrossings(graph);
    if (now < least) {
      least = now;
      best = graph.order.map((rank) => [...rank]);
      idle = 0;
    } else idle += 1;
  }
  graph.order = best;
  graph.crossings = least;
  place(graph);
}

function place(graph) {
  for (const rank of graph.order) rank.forEach((node, n) => { graph.pos[node] = n; });
}

/** Depth first from the first nodes: what hangs together stands together. */
function start(graph) {
  const ranks = Array.from({ length: graph.ranks }, () => []);
  const seen = new Uint8Array(graph.rank.length);
  const roots = [...graph.rank.keys()].filter((node) => !graph.up[node].length);
  for (const root of [...roots, ...graph.rank.keys()]) {
    const stack = [root];
    while (stack.length) {
      const node = stack.pop();
      if (seen[node]) continue;
      seen[node] = 1;
      ranks[graph.rank[node]].push(node);
      const ends = graph.down[node];
      for (let n = ends.length - 1; n >= 0; n -= 1) if (!seen[ends[n]]) stack.push(ends[n]);
    }
  }
  return ranks;
}

/** Order each rank by the mean place of its nodes' neighbours in the rank before; nodes without keep their places. */
function sweep(graph, downwards, rightFirst) {
  const links = downwards ? graph.up : graph.down;
  const mean = new Float64Array(graph.rank.length);
  for (let step = 1; step < graph.ranks; step += 1) {
    const rank = graph.order[downwards ? step : graph.ranks - 1 - step];
    const fixed = [], free = [];
    for (const node of rank) {
      const near = links[node];
      if (!near.length) {
        fixed.push(node);
        continue;
      }
      let sum = 0;
      for (const other of near) sum += graph.pos[other];
      mean[node] = sum / near.length;
      free.push(node);
    }
    free.sort((a, b) => mean[a] - mean[b] || (rightFirst ? graph.pos[b] - graph.pos[a] : graph.pos[a] - graph.pos[b]));
    const made = [];
    let next = 0;
    for (const node of fixed) {
      while (made.length < graph.pos[node] && next < free.length) {
        made.push(free[next]);
        next += 1;
      }
      made.push(node);
    }
    while (next < free.length) {
      made.push(free[next]);
      next += 1;
    }
    rank.splice(0, rank.length, ...made);
    rank.forEach((node, n) => { graph.pos[node] = n; });
  }
}

/** Exchange neighbours in a rank where that takes crossings away. */
function swap(graph) {
  for (let again = 0; again < 4; again += 1) {
    let better = false;
    for (const rank of graph.order) {
      for (let n = 1; n < rank.length; n += 1) {
        const a = rank[n - 1], b = rank[n];
        if (crossed(graph, a, b) > crossed(graph, b, a)) {
          rank[n - 1] = b;
          rank[n] = a;
          graph.pos[b] = n - 1;
          graph.pos[a] = n;
          better = true;
        }
      }
    }
    if (!better) return;
  }
}

/** Crossings between the edges of two nodes of a rank when `a` stands left of `b`. */
function crossed({ up, down, pos }, a, b) {
  let found = 0;
  for (const links of [up, down]) for (const one of links[a]) for (const two of links[b]) if (pos[one] > pos[two]) found += 1;
  return found;
}

/** All crossings: for each rank the inversions among the ends of its edges, counted with a binary indexed tree. */
export function countCrossings(graph) {
  let found = 0;
  for (const [at, rank] of graph.order.entries()) {
    const size = graph.order[at + 1]?.length ?? 0;
    if (!size) continue;
    const tree = new Int32Array(size + 1);
    let edges = 0;
    for (const node of rank) {
      const ends = graph.down[node].map((end) => graph.pos[end]).sort((a, b) => a - b);
      for (const end of ends) {
        let below = 0;
        for (let n = end + 1; n > 0; n -= n & -n) below += tree[n];
        found += edges - below;
      }
      for (const end of ends) {
        edges += 1;
        for (let n = end + 1; n <= size; n += n & -n) tree[n] += 1;
      }
    }
  }
  return found;
}
