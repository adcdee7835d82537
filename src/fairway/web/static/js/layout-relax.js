// Where nodes stand within their rank, for graphs that Brandes and Köpf's alignment would draw far too wide: each node wants to stand under
// the mean of its neighbours; in sweeps down and up every rank is placed as near to that as distances allow (least squares, exactly, by
// pooling neighbours that are in each other's way). The width stays near that of the widest rank.

const SWEEPS = 12;
const CENTRE = 0.15; // and to the middle of all, so that the width stays near that of the widest rank
const STRAIGHT = 8; // how much more a long edge wants to be straight than a node to be in the middle

/** Gives the graph `x`: the middle of each node. */
export function relax(graph, gap) {
  const count = graph.rank.length;
  const x = new Float64Array(count);
  const apart = (a, b) => (graph.w[a] + graph.w[b]) / 2 + (a >= graph.real || b >= graph.real ? gap.dummy : gap.node);
  for (const rank of graph.order) {
    let at = 0;
    rank.forEach((node, n) => {
      at += n ? apart(rank[n - 1], node) : 0;
      x[node] = at;
    });
    for (const node of rank) x[node] -= at / 2;
  }
  const wish = new Float64Array(count), weight = new Float64Array(count);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const downwards = sweep % 2 === 0, both = sweep >= SWEEPS - 4;
    for (let step = 0; step < graph.order.length; step += 1) {
      const rank = graph.order[downwards ? step : graph.order.length - 1 - step];
      for (const node of rank) want(graph, node, both ? [graph.up, graph.down] : [downwards ? graph.up : graph.down], x, wish, weight);
      pool(rank, apart, wish, weight, x);
    }
  }
  graph.x = x;
}

/** Where a node wants to be, and how much. One without neighbours on this side stays where it is, and gives way. */
function want(graph, node, sides, x, wish, weight) {
  let sum = 0, all = 0;
  for (const links of sides) {
    for (const other of links[node]) {
      const much = node >= graph.real && other >= graph.real ? STRAIGHT : 1;
      sum += much * x[other];
      all += much;
    }
  }
  if (node < graph.real) all += CENTRE;
  wish[node] = all ? sum / all : x[node];
  weight[node] = all || 0.01;
}

/** Place a rank: as near to the wishes as the distances allow. */
function pool(rank, apart, wish, weight, x) {
  const sums = [], weights = [], sizes = [];
  let offset = 0;
  const offsets = rank.map((node, n) => { offset += n ? apart(rank[n - 1], node) : 0; return offset; });
  rank.forEach((node, n) => {
    let sum = weight[node] * (wish[node] - offsets[n]), much = weight[node], size = 1;
    while (sums.length && sums.at(-1) / weights.at(-1) >= sum / much) {
      sum += sums.pop();
      much += weights.pop();
      size += sizes.pop();
    }
    sums.push(sum);
    weights.push(much);
    sizes.push(size);
  });
  let n = 0;
  sums.forEach((sum, block) => {
    for (let left = sizes[block]; left; left -= 1) {
      x[rank[n]] = sum / weights[block] + offsets[n];
      n += 1;
    }
  });
}

/** How wide the widest rank is, packed. */
export function leastWidth(graph, gap) {
  return Math.max(0, ...graph.order.map((rank) => rank.reduce((all, node) => all + graph.w[node] + (node >= graph.real ? gap.dummy : gap.node), 0)));
}

export function widthOf({ x, w }) {
  let least = Infinity, most = -Infinity;
  for (let n = 0; n < x.length; n += 1) {
    least = Math.min(least, x[n] - w[n] / 2);
    most = Math.max(most, x[n] + w[n] / 2);
  }
  return x.length ? most - least : 0;
}
