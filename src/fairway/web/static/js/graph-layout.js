// A layered layout of a directed graph: ranks by longest path, few crossings by sweeps, straight lines by Brandes and Köpf's alignment.
// Pure: no page, no worker. A group is laid out by itself and stands in the graph around it as one large node.

import { align } from "./layout-align.js";
import { order } from "./layout-order.js";
import { addDummies, rankNodes } from "./layout-ranks.js";
import { leastWidth, relax, widthOf } from "./layout-relax.js";

/**
 * @typedef {{id: string, w: number, h: number, group?: string}} Box
 * @typedef {{nodes: Box[], groups?: {id: string, parent?: string}[], edges: [string, string][], dir?: "down" | "right"}} Drawing
 *   edges are between nodes, groups, or one and the other; no node is called as a group is
 * @typedef {{width: number, height: number, nodes: Record<string, [number, number]>,
 *   groups: Record<string, [number, number, number, number]>, edges: number[][]}} Layout
 */

const TOO_WIDE = 1.6;
export const GAP = { node: 26, rank: 50, dummy: 12, inset: 16, head: 28 };

/**
 * Places for all nodes (their top left corners), groups (x, y, width, height) and edges (x, y of the points that each goes through, in the
 * edges' order: it bends from the first to the second, is straight from the second to the third, bends to the fourth, and so on).
 * @param {Drawing} drawing
 * @returns {Layout}
 */
export function layout(drawing) {
  const across = drawing.dir === "right"; // left to right is top to bottom with the axes changed
  const levels = makeLevels(drawing, across);
  const routes = drawing.edges.map(() => null);
  const root = placeLevel(levels, "", routes, across);
  const nodes = {}, groups = {};
  spread(root, 0, 0, nodes, groups);
  const edges = routes.map((route) => (route ? join(route) : []));
  if (!across) return { width: root.w, height: root.h, nodes, groups, edges };
  for (const id of Object.keys(nodes)) nodes[id] = [nodes[id][1], nodes[id][0]];
  for (const id of Object.keys(groups)) groups[id] = [groups[id][1], groups[id][0], groups[id][3], groups[id][2]];
  return { width: root.h, height: root.w, nodes, groups, edges: edges.map((points) => points.map((_, n) => points[n ^ 1])) };
}

/** For each group, and "" for the whole: what stands in it, the edges between those, and the edges that come in or go out. */
function makeLevels({ nodes, groups = [], edges }, across) {
  const levels = new Map(["", ...groups.map((group) => group.id)].map((id) => [id, { id, items: [], links: [], ports: [] }]));
  const parents = new Map(groups.map(({ id, parent = "" }) => [id, levels.has(parent) && parent !== id ? parent : ""]));
  const paths = new Map();
  for (const { id, w, h, group = "" } of nodes) {
    const home = levels.has(group) ? group : "";
    levels.get(home).items.push({ id, key: `n${id}`, w: across ? h : w, h: across ? w : h });
    const path = [`n${id}`];
    for (let at = home; at && path.length < 100; at = parents.get(at)) path.push(`g${at}`);
    paths.set(id, path.reverse());
  }
  for (const [id, parent] of parents) {
    levels.get(parent).items.push({ id, key: `g${id}`, w: 0, h: 0, group: true });
    const path = [`g${id}`];
    for (let at = parent; at && path.length < 100; at = parents.get(at)) path.push(`g${at}`);
    paths.set(id, path.reverse());
  }
  edges.forEach(([from, to], n) => {
    const a = paths.get(from), b = paths.get(to);
    if (!a || !b || from === to) return;
    let depth = 0;
    while (a[depth] === b[depth]) depth += 1;
    levels.get(depth ? a[depth - 1].slice(1) : "").links.push({ n, from: a[depth], to: b[depth] });
    for (let at = depth; at < a.length - 1; at += 1) levels.get(a[at].slice(1)).ports.push({ n, side: "out", key: a[at + 1] });
    for (let at = depth; at < b.length - 1; at += 1) levels.get(b[at].slice(1)).ports.push({ n, side: "in", key: b[at + 1] });
  });
  return levels;
}

/** Lay one level out, inner ones first. Leaves in `routes` what is needed to draw its edges. */
function placeLevel(levels, id, routes, across) {
  const { items, links, ports } = levels.get(id);
  for (const item of items) {
    if (!item.group) continue;
    item.inner = placeLevel(levels, item.id, routes, across);
    item.w = item.inner.w;
    item.h = item.inner.h;
  }
  const index = new Map(items.map((item, n) => [item.key, n]));
  const net = rankNodes(items.length, links.map(({ n, from, to }) => ({ n: [n], from: index.get(from), to: index.get(to) })));
  const graph = addDummies(items, net, ports.map(({ n, side, key }) => ({ n, side, node: index.get(key) })));
  order(graph);
  align(graph, GAP);
  if (widthOf(graph) > TOO_WIDE * leastWidth(graph, GAP)) relax(graph, GAP);
  const level = measure(graph, items, id !== "", across);
  for (const chain of graph.chains) for (const n of chain.n) routes[n] = { n, level, chain };
  return level;
}

/** Gives every rank its heights and every node its y; sizes of the whole with its frame. */
function measure(graph, items, framed, across) {
  const high = new Float64Array(graph.ranks);
  items.forEach((item, n) => { high[graph.rank[n]] = Math.max(high[graph.rank[n]], item.h); });
  const inset = framed ? GAP.inset : 0;
  const top = [], end = [];
  let y = framed && !across ? GAP.head : inset;
  for (let at = 0; at < graph.ranks; at += 1) {
    top.push(y);
    end.push(y + high[at]);
    y += high[at] + (at < graph.ranks - 1 ? GAP.rank : 0);
  }
  let least = graph.x.length ? Infinity : 0, most = graph.x.length ? -Infinity : 0;
  for (let n = 0; n < graph.x.length; n += 1) {
    least = Math.min(least, graph.x[n] - graph.w[n] / 2);
    most = Math.max(most, graph.x[n] + graph.w[n] / 2);
  }
  const left = framed && across ? GAP.head : inset;
  for (let n = 0; n < graph.x.length; n += 1) graph.x[n] += left - least;
  return { graph, items, top, end, w: most - least + left + inset, h: y + inset, x: 0, y: 0 };
}

/** Absolute places, from the outside in. */
function spread(level, x, y, nodes, groups) {
  level.x = x;
  level.y = y;
  const { graph } = level;
  level.items.forEach((item, n) => {
    const at = graph.rank[n];
    const left = x + graph.x[n] - item.w / 2, above = y + (level.top[at] + level.end[at] - item.h) / 2;
    if (item.inner) {
      groups[item.id] = [left, above, item.w, item.h];
      spread(item.inner, left, above, nodes, groups);
    } else nodes[item.id] = [left, above];
  });
}

/** The points of an edge through all levels that it crosses. */
function join({ n, level, chain }) {
  const points = [...reach(level, chain.top, n, "out").reverse(), ...through(level, chain.points), ...reach(level, chain.end, n, "in")];
  if (chain.back) points.reverse();
  return points.flat();
}

/** Along dummies: the top and the end of their ranks. */
function through(level, dummies) {
  return dummies.flatMap((dummy) => {
    const x = level.x + level.graph.x[dummy], at = level.graph.rank[dummy];
    return [[x, level.y + level.top[at]], [x, level.y + level.end[at]]];
  });
}

/** From the border of what stands there to the node itself: through the groups around it, outermost first. */
function reach(level, n, edge, side) {
  const item = level.items[n];
  const port = item.inner?.graph.ports.get(`${side}${edge}`);
  if (port) {
    const inside = through(item.inner, port.points);
    if (side === "out") inside.reverse();
    return [...inside, ...reach(item.inner, port.node, edge, side)];
  }
  const at = level.graph.rank[n];
  const middle = (level.top[at] + level.end[at]) / 2;
  return [[level.x + level.graph.x[n], level.y + middle + (side === "out" ? item.h : -item.h) / 2]];
}

/** Ranks of a drawing without its groups, as `layout` makes them; sizes as if from top to bottom. */
function rankDrawing({ nodes, edges, dir }) {
  const items = nodes.map(({ w, h }) => (dir === "right" ? { w: h, h: w } : { w, h }));
  const index = new Map(nodes.map((node, n) => [node.id, n]));
  const links = edges.filter(([from, to]) => index.has(from) && index.has(to) && from !== to).map(([from, to]) => ({ n: [], from: index.get(from), to: index.get(to) }));
  const net = rankNodes(items.length, links);
  const high = new Float64Array(net.ranks);
  items.forEach((item, node) => { high[net.rank[node]] = Math.max(high[net.rank[node]], item.h); });
  return { items, net, high, height: high.reduce((all, one) => all + one, 0) + GAP.rank * Math.max(0, net.ranks - 1) };
}

/** About how large the layout of a graph without groups will be: cheap, also where the layout is not. */
export function estimate(drawing) {
  const { items, net, height } = rankDrawing(drawing);
  const graph = addDummies(items, net, []);
  const wide = new Float64Array(net.ranks);
  graph.rank.forEach((at, node) => { wide[at] += graph.w[node] + (node < graph.real ? GAP.node : GAP.dummy); });
  const width = Math.max(0, ...wide);
  return drawing.dir === "right" ? { width: height, height: width } : { width, height };
}

/** Ranks alone, each packed around the middle: what is shown until the layout is there. As `layout`; groups and edges have no places. */
export function sketch(drawing) {
  const { items, net, high, height } = rankDrawing(drawing);
  const across = drawing.dir === "right";
  const wide = new Float64Array(net.ranks), top = new Float64Array(net.ranks);
  for (let at = 1; at < net.ranks; at += 1) top[at] = top[at - 1] + high[at - 1] + GAP.rank;
  const left = items.map((item, node) => {
    const at = net.rank[node];
    wide[at] += item.w + (wide[at] ? GAP.node : 0);
    return wide[at] - item.w;
  });
  const width = Math.max(0, ...wide);
  const nodes = {};
  drawing.nodes.forEach(({ id }, node) => {
    const x = left[node] + (width - wide[net.rank[node]]) / 2, y = top[net.rank[node]];
    nodes[id] = across ? [y, x] : [x, y];
  });
  return { width: across ? height : width, height: across ? width : height, nodes, groups: {}, edges: drawing.edges.map(() => []) };
}
