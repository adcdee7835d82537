// Where nodes stand within their rank, after Brandes and Köpf, "Fast and Simple Horizontal Coordinate Assignment" (2001): nodes are aligned
// with the median of their neighbours in four ways, each is packed, and every node takes the middle of what the four say. Linear time.

/** Gives the graph `x`: the middle of each node. `gap`: distances between two nodes, and of a dummy to its neighbour. */
export function align(graph, gap) {
  const marked = markConflicts(graph);
  const all = [];
  for (const downwards of [true, false]) {
    for (const fromLeft of [true, false]) all.push(pack(graph, alignBlocks(graph, marked, downwards, fromLeft), fromLeft, gap));
  }
  const spans = all.map((xs) => span(graph, xs));
  const least = spans.reduce((a, b) => (b.width < a.width ? b : a));
  all.forEach((xs, n) => {
    const by = n % 2 === 0 ? least.from - spans[n].from : least.to - spans[n].to;
    for (let node = 0; node < xs.length; node += 1) xs[node] += by;
  });
  graph.x = new Float64Array(graph.rank.length);
  const four = new Float64Array(4);
  for (let node = 0; node < graph.x.length; node += 1) {
    for (let n = 0; n < 4; n += 1) four[n] = all[n][node];
    four.sort();
    graph.x[node] = (four[1] + four[2]) / 2;
  }
}

function span(graph, xs) {
  let from = Infinity, to = -Infinity;
  for (let node = 0; node < xs.length; node += 1) {
    from = Math.min(from, xs[node] - graph.w[node] / 2);
    to = Math.max(to, xs[node] + graph.w[node] / 2);
  }
  return { from, to, width: to - from };
}

/** Edges that cross a long edge's inside: they do not align, so that long edges are straight. */
function markConflicts(graph) {
  const marked = new Set();
  const { order, pos, up, real } = graph;
  const count = graph.rank.length;
  for (let at = 1; at < order.length; at += 1) {
    const above = order[at - 1], rank = order[at];
    let from = 0, done = 0;
    for (let n = 0; n < rank.length; n += 1) {
      const node = rank[n];
      const inner = node >= real ? up[node].find((one) => one >= real) : undefined;
      if (inner === undefined && n < rank.length - 1) continue;
      const to = inner === undefined ? above.length - 1 : pos[inner];
      for (; done <= n; done += 1) {
        for (const other of up[rank[done]]) {
          if ((pos[other] < from || pos[other] > to) && !(rank[done] >= real && other >= real)) marked.add(other * count + rank[done]);
        }
      }
      from = to;
    }
  }
  return marked;
}

/** Blocks of aligned nodes: for each node the first of its block. */
function alignBlocks(graph, marked, downwards, fromLeft) {
  const count = graph.rank.length;
  const root = new Int32Array(count), next = new Int32Array(count);
  for (let node = 0; node < count; node += 1) root[node] = next[node] = node;
  const { order, pos } = graph;
  const links = downwards ? graph.up : graph.down;
  for (let step = 0; step < order.length; step += 1) {
    const rank = order[downwards ? step : order.length - 1 - step];
    let limit = fromLeft ? -1 : Infinity;
    for (let n = 0; n < rank.length; n += 1) {
      const node = rank[fromLeft ? n : rank.length - 1 - n];
      const near = links[node];
      if (!near.length) continue;
      const sorted = near.length > 1 ? [...near].sort((a, b) => pos[a] - pos[b]) : near;
      const low = (sorted.length - 1) >> 1, high = sorted.length >> 1;
      for (const middle of fromLeft ? [low, high] : [high, low]) {
        const other = sorted[middle];
        if (next[node] !== node) break;
        const key = downwards ? other * count + node : node * count + other;
        if (marked.has(key) || (fromLeft ? pos[other] <= limit : pos[other] >= limit)) continue;
        next[other] = node;
        root[node] = root[other];
        next[node] = root[node];
        limit = pos[other];
        if (low === high) break;
      }
    }
  }
  return root;
}

/** Pack the blocks to one side, then draw those that have room towards the other. */
function pack(graph, root, fromLeft, gap) {
  const count = graph.rank.length;
  const after = new Map(), before = new Map();
  const apart = (a, b) => (graph.w[a] + graph.w[b]) / 2 + (a >= graph.real || b >= graph.real ? gap.dummy : gap.node);
  for (const rank of graph.order) {
    for (let n = 1; n < rank.length; n += 1) {
      const a = root[rank[n - 1]], b = root[rank[n]];
      const far = apart(rank[n - 1], rank[n]);
      join(after, fromLeft ? a : b, fromLeft ? b : a, far);
      join(before, fromLeft ? b : a, fromLeft ? a : b, far);
    }
  }
  const sorted = sortBlocks(count, root, after, before);
  const x = new Float64Array(count);
  for (const block of sorted) {
    let least = 0;
    for (const [other, far] of before.get(block) ?? []) least = Math.max(least, x[other] + far);
    x[block] = least;
  }
  for (let n = sorted.length - 1; n >= 0; n -= 1) {
    const block = sorted[n];
    let most = Infinity;
    for (const [other, far] of after.get(block) ?? []) most = Math.min(most, x[other] - far);
    if (most !== Infinity) x[block] = Math.max(x[block], most);
  }
  const sign = fromLeft ? 1 : -1;
  const xs = new Float64Array(count);
  for (let node = 0; node < count; node += 1) xs[node] = sign * x[root[node]];
  return xs;
}

function join(links, a, b, far) {
  const known = links.get(a) ?? links.set(a, new Map()).get(a);
  known.set(b, Math.max(known.get(b) ?? 0, far));
}

/** The blocks so that each stands after those on its near side. */
function sortBlocks(count, root, after, before) {
  const left = new Int32Array(count);
  const ready = [];
  for (let node = 0; node < count; node += 1) {
    if (root[node] !== node) continue;
    left[node] = before.get(node)?.size ?? 0;
    if (!left[node]) ready.push(node);
  }
  const sorted = [];
  while (ready.length) {
    const block = ready.pop();
    sorted.push(block);
    for (const other of after.get(block)?.keys() ?? []) {
      left[other] -= 1;
      if (!left[other]) ready.push(other);
    }
  }
  return sorted;
}
