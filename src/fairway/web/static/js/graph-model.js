// What of a run's graph is to be seen: groups folded or open, edges led to what stands for their ends, words on each node. Pure.

import { spellDuration } from "./words.js";

export const NODE_HEIGHT = 48;
const WELL = ["succeeded", "cached"];
const STOPPED = ["waiting", "skipped", "cancelled"];
const MANY = 160;

/**
 * The graph as it is drawn. `folded` are ids of groups: a nested pipeline or a condition is drawn as one node then; what a dynamic step
 * made is part of that step's own node. `shape`: the same shape, the same layout.
 * @returns {{nodes: object[], groups: object[], edges: object[], shape: string}}
 */
export function makeModel(data, folded) {
  const groups = new Map(data.groups.map((group) => [group.id, group]));
  const known = new Map(data.nodes.map((node) => [node.id, node]));
  const stand = new Map(); // node or group -> what is drawn for it
  const standIn = (group) => {
    if (!group) return "";
    if (stand.has(group.id)) return stand.get(group.id);
    stand.set(group.id, ""); // should they go round in a circle
    const maker = makerOf(group, known);
    const above = standIn(groups.get(known.get(maker)?.group ?? group.parent ?? ""));
    stand.set(group.id, above || (folded.has(group.id) ? maker || group.id : ""));
    return stand.get(group.id);
  };
  const inner = new Map();
  for (const group of data.groups) {
    standIn(group);
    const maker = makerOf(group, known);
    if (maker) inner.set(maker, [...(inner.get(maker) ?? []), group.id]);
  }
  const nodes = new Map();
  const full = new Set();
  for (const node of data.nodes) {
    for (let at = node.group; at && groups.has(at) && !full.has(at); at = groups.get(at).parent) full.add(at);
    const fold = stand.get(node.group);
    if (fold) {
      stand.set(node.id, fold);
      addFolded(nodes, fold, groups.get(fold), node);
    } else nodes.set(node.id, { ...node, w: widthOf(node.label, inner.has(node.id)), h: NODE_HEIGHT, inner: inner.get(node.id) ?? [] });
  }
  const open = data.groups.filter((group) => !stand.get(group.id) && full.has(group.id));
  const edges = drawnEdges(data, (id) => stand.get(id) || id, nodes, open, known);
  const shape = `${data.digest} ${[...folded].filter((id) => groups.has(id)).sort().join("\n")}`;
  return { nodes: [...nodes.values()], groups: open, edges: markEdges(edges, nodes), shape };
}

/** The dynamic step that made a group, "" of other groups. */
function makerOf(group, known) {
  if (group.kind !== "dynamic") return "";
  const maker = group.id.replace(/\/+$/, "").replace(/\[[\d,]*\]$/, "");
  return known.has(maker) ? maker : "";
}

function addFolded(nodes, fold, group, node) {
  let one = nodes.get(fold);
  if (!one && !group) return; // a step that comes after what it made: it does not
  if (!one) {
    one = { id: fold, label: group.label, group: group.parent ?? "", fold: true, kind: group.kind, status: group.status, counts: group.counts ?? {}, w: widthOf(group.label), h: NODE_HEIGHT };
    nodes.set(fold, one);
  }
  one.steps = (one.steps ?? 0) + 1;
  if (!one.fold) return;
  if (node.started_at) one.started_at = Math.min(one.started_at ?? Infinity, node.started_at);
  one.ended_at = Math.max(one.ended_at ?? 0, node.ended_at ?? 0);
  one.error ??= node.error;
}

/** Edges between what is drawn. What follows a dynamic step whose graph is shown follows that graph. */
function drawnEdges(data, stand, nodes, open, known) {
  const made = new Map();
  for (const group of open) {
    const maker = makerOf(group, known);
    if (maker) made.set(maker, [...(made.get(maker) ?? []), group.id]);
  }
  const edges = new Map();
  const add = (from, to, label) => {
    const key = JSON.stringify([from, to]);
    if (from !== to && !edges.has(key)) edges.set(key, { from, to, label });
  };
  for (const { from, to, label = "" } of data.edges) {
    const a = stand(from), b = stand(to);
    const into = (known.get(to)?.group ?? "").startsWith(`${from}/`) || (known.get(to)?.group ?? "").startsWith(`${from}[`);
    if (made.has(from) && !into) for (const group of made.get(from)) add(group, b, label);
    else if (nodes.has(a) && nodes.has(b)) add(a, b, label);
  }
  return [...edges.values()];
}

/** Wide enough for most labels; the same for labels of about the same length, so that ranks look even. */
function widthOf(label, more = false) {
  return Math.min(232, Math.max(more ? 160 : 136, 16 * Math.ceil((62 + (more ? 20 : 0) + label.length * 7.4) / 16)));
}

/** `state` of each edge: "stopped" from what failed to what therefore never ran, "busy" into what runs now, "done" where both have ended well. */
function markEdges(edges, nodes) {
  const status = new Map([...nodes.values()].map((node) => [node.id, node.status]));
  for (const edge of edges) {
    const from = status.get(edge.from), to = status.get(edge.to);
    if (from === "failed" && STOPPED.includes(to)) edge.state = "stopped";
    else if (to === "running" || to === "retrying") edge.state = "busy";
    else if (WELL.includes(from) && to !== "waiting" && to !== "skipped") edge.state = "done";
    else edge.state = "";
  }
  return edges;
}

/** Groups that are folded until somebody opens them: of a small graph what lies deep; of a large one all. */
export function foldAtFirst(data) {
  if (data.nodes.length <= MANY) return data.groups.filter((group) => depthOf(data, group) > (group.kind === "dynamic" ? 1 : 3)).map((group) => group.id);
  return data.groups.map((group) => group.id);
}

function depthOf(data, group) {
  const parents = new Map(data.groups.map((one) => [one.id, one.parent ?? ""]));
  let depth = 0;
  for (let at = group.id; at && depth < 100; at = parents.get(at)) depth += 1;
  return depth;
}

/** How much of a node's tasks has ended, from 0 to 1, by kind: for its ring. */
export function shareDone(node) {
  const total = node.fold ? Object.values(node.counts).reduce((a, b) => a + b, 0) : node.total;
  if (!total) return { well: 0, badly: 0 };
  const sum = (names) => names.reduce((all, name) => all + (node.counts[name] ?? 0), 0);
  return { well: sum(WELL) / total, badly: sum(["failed", "cancelled"]) / total };
}

/** The second line of a node. `now`: epoch seconds. */
export function spellNote(node, now) {
  const took = node.started_at ? spellDuration(Math.max(0, (node.ended_at || now) - node.started_at)) : "";
  const parts = [];
  if (node.fold) parts.push(`${node.steps} step${node.steps === 1 ? "" : "s"}`);
  else if (node.steps) parts.push(`+${node.steps} step${node.steps === 1 ? "" : "s"}`);
  if (node.mapped && node.total) {
    const count = (n) => n.toLocaleString("en");
    const done = WELL.reduce((all, name) => all + (node.counts[name] ?? 0), 0);
    parts.push(node.counts.failed ? `${count(node.counts.failed)}/${count(node.total)} failed` : `${count(done)}/${count(node.total)}`);
  } else if (node.status === "failed" && node.error && !node.fold) {
    return spellError(node.error);
  }
  if (!["succeeded", "running"].includes(node.status) && !(node.mapped && node.counts.failed)) parts.push(node.status);
  if (node.status === "running" || node.status === "succeeded" || node.status === "failed" || node.status === "retrying") if (took) parts.push(took);
  return parts.join(" · ") || node.status;
}

/** An error in a line: with its kind where the message alone says little, as that of a KeyError. */
function spellError({ kind, code, message }) {
  const line = message.split("\n", 1)[0];
  return line.length < 16 && kind ? `${kind}: ${line}` : line || code;
}

/** What is said of a node beyond the two lines that are seen; with `cut`, of those two what is not seen, too. */
export function spellWhole(node, note, cut = {}) {
  const kind = node.fold ? "group" : node.kind === "exit" ? "exit handler" : "step";
  const parts = [cut.label ? `${kind} ${node.label}` : kind, note === node.status ? "" : node.status, cut.note ? note : "", node.guard ? `if ${node.guard}` : ""];
  return parts.filter(Boolean).join(", ");
}

/** Nodes that hang together with `id`: all before it and all after it. */
export function related(edges, id) {
  const found = new Set([id]);
  for (const [from, to] of [["from", "to"], ["to", "from"]]) {
    const next = new Map();
    for (const edge of edges) next.set(edge[from], [...(next.get(edge[from]) ?? []), edge[to]]);
    const stack = [id], seen = new Set([id]);
    while (stack.length) {
      for (const other of next.get(stack.pop()) ?? []) {
        if (seen.has(other)) continue;
        seen.add(other);
        found.add(other);
        stack.push(other);
      }
    }
  }
  return found;
}

/** The node that an arrow key leads to from `id`: the nearest in that direction, those straight ahead before those aside. */
export function nextNode(places, id, key) {
  const at = places[id];
  if (!at) return null;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null, least = Infinity;
  for (const [other, [x, y]] of Object.entries(places)) {
    if (other === id) continue;
    const ahead = (x - at[0]) * dx + (y - at[1]) * dy, aside = Math.abs((x - at[0]) * dy) + Math.abs((y - at[1]) * dx);
    if (ahead <= 1 || aside > ahead * 4) continue;
    const far = ahead + aside * 2;
    if (far < least) {
      least = far;
      best = other;
    }
  }
  return best;
}

/** Left to right or top to bottom: what makes the better use of the space. By ranks and their widest, before anything is laid out. */
export function chooseDirection(sizes, width, height) {
  const scale = ({ width: w, height: h }) => Math.min(1, width / Math.max(w, 1), height / Math.max(h, 1));
  return scale(sizes.right) >= scale(sizes.down) * 0.98 ? "right" : "down";
}
