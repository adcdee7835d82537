import assert from "node:assert/strict";
import test from "node:test";
import { estimate, GAP, layout, sketch } from "../../../src/fairway/web/static/js/graph-layout.js";
import { countCrossings, order } from "../../../src/fairway/web/static/js/layout-order.js";
import { chance, randomDrawing } from "./made.mjs";

const EPS = 0.01;

function boxesOf(drawing, made) {
  return drawing.nodes.map(({ id, w, h, group = "" }) => ({ id, group, x: made.nodes[id][0], y: made.nodes[id][1], w, h }));
}

function overlap(a, b) {
  return a.x < b.x + b.w - EPS && b.x < a.x + a.w - EPS && a.y < b.y + b.h - EPS && b.y < a.y + a.h - EPS;
}

function groupsAround(drawing, id) {
  const parents = new Map(drawing.groups.map((group) => [group.id, group.parent]));
  const found = [];
  for (let at = id; at; at = parents.get(at)) found.push(at);
  return found;
}

for (const dir of ["down", "right"]) {
  test(`no two nodes lie on each other, and edges lead from one rank to a later one: ${dir}`, () => {
    for (let seed = 1; seed <= 30; seed += 1) {
      const drawing = randomDrawing(seed, { nodes: 5 + seed * 3, edges: seed * 5, dir });
      const made = layout(drawing);
      const boxes = boxesOf(drawing, made);
      for (const a of boxes) for (const b of boxes) assert.ok(a === b || !overlap(a, b), `${a.id} and ${b.id} of drawing ${seed}`);
      const axis = dir === "right" ? "x" : "y", size = dir === "right" ? "w" : "h";
      const by = new Map(boxes.map((box) => [box.id, box]));
      for (const [from, to] of drawing.edges) assert.ok(by.get(from)[axis] + by.get(from)[size] < by.get(to)[axis], `${from} → ${to} of drawing ${seed}`);
    }
  });

  test(`edges begin and end at their nodes and pass through no other: ${dir}`, () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const drawing = randomDrawing(seed, { nodes: 30, edges: 45, dir });
      const made = layout(drawing);
      const boxes = boxesOf(drawing, made);
      const by = new Map(boxes.map((box) => [box.id, box]));
      drawing.edges.forEach(([from, to], n) => {
        const points = made.edges[n];
        const a = by.get(from), b = by.get(to);
        const [start, end] = dir === "right" ? [[a.x + a.w, a.y + a.h / 2], [b.x, b.y + b.h / 2]] : [[a.x + a.w / 2, a.y + a.h], [b.x + b.w / 2, b.y]];
        assert.deepEqual(points.slice(0, 2).map(Math.round), start.map(Math.round));
        assert.deepEqual(points.slice(-2).map(Math.round), end.map(Math.round));
        for (let at = 2; at + 4 < points.length; at += 4) { // its straight parts, which run along ranks
          const part = { x: Math.min(points[at], points[at + 2]) - 0.5, y: Math.min(points[at + 1], points[at + 3]) - 0.5, w: Math.abs(points[at] - points[at + 2]) + 1, h: Math.abs(points[at + 1] - points[at + 3]) + 1 };
          for (const box of boxes) assert.ok(!overlap(part, box), `${from} → ${to} passes through ${box.id} in drawing ${seed}`);
        }
      });
    }
  });
}

test("a group's frame holds what is in it and nothing else", () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const drawing = randomDrawing(seed, { nodes: 30, edges: 30, groups: 5, dir: seed % 2 ? "down" : "right" });
    const made = layout(drawing);
    for (const box of boxesOf(drawing, made)) {
      const around = groupsAround(drawing, box.group);
      for (const { id } of drawing.groups) {
        const [x, y, w, h] = made.groups[id];
        if (around.includes(id)) assert.ok(box.x >= x + EPS && box.y >= y + EPS && box.x + box.w <= x + w && box.y + box.h <= y + h, `${box.id} in ${id} of drawing ${seed}`);
        else assert.ok(!overlap(box, { x, y, w, h }) || !drawing.nodes.some((node) => groupsAround(drawing, node.group).includes(id)), `${box.id} outside of ${id} of drawing ${seed}`);
      }
    }
  }
});

test("edges reach into groups, and lead out of a group itself", () => {
  const nodes = ["a", "b", "c", "d"].map((id) => ({ id, w: 100, h: 40, group: id === "b" || id === "c" ? "g" : "" }));
  const made = layout({ nodes, groups: [{ id: "g" }], edges: [["a", "c"], ["b", "c"], ["g", "d"]], dir: "down" });
  const [gx, gy, gw, gh] = made.groups.g;
  assert.deepEqual(made.edges[0].slice(-2), [made.nodes.c[0] + 50, made.nodes.c[1]]);
  assert.ok(made.edges[0].length > 4, "it goes round b, which stands in its way");
  assert.equal(made.edges[2][1], gy + gh);
  assert.ok(made.edges[2][0] >= gx && made.edges[2][0] <= gx + gw);
});

test("a chain is drawn as a straight line, two branches as mirror images", () => {
  const box = (id) => ({ id, w: 100, h: 40 });
  const chain = layout({ nodes: ["a", "b", "c"].map(box), edges: [["a", "b"], ["b", "c"]], dir: "down" });
  assert.equal(new Set(Object.values(chain.nodes).map(([x]) => x)).size, 1);
  const fork = layout({ nodes: ["a", "l", "r", "z"].map(box), edges: [["a", "l"], ["a", "r"], ["l", "z"], ["r", "z"]], dir: "down" });
  assert.equal(fork.nodes.a[0], fork.nodes.z[0]);
  assert.equal(fork.nodes.a[0] - fork.nodes.l[0], fork.nodes.r[0] - fork.nodes.a[0]);
});

test("cycles, unknown ends and loops do no harm", () => {
  const nodes = ["a", "b", "c"].map((id) => ({ id, w: 100, h: 40 }));
  const made = layout({ nodes, edges: [["a", "b"], ["b", "c"], ["c", "a"], ["a", "a"], ["a", "nobody"]], dir: "down" });
  assert.equal(Object.keys(made.nodes).length, 3);
  assert.deepEqual(made.edges[3], []);
  assert.deepEqual(made.edges[4], []);
  assert.deepEqual(made.edges[2].slice(0, 2), [made.nodes.c[0] + 50, made.nodes.c[1]]);
  assert.deepEqual(layout({ nodes: [], edges: [], dir: "right" }), { width: 0, height: 0, nodes: {}, groups: {}, edges: [] });
});

test("the same drawing has the same layout", () => {
  const drawing = randomDrawing(7, { nodes: 60, edges: 90, groups: 4 });
  assert.deepEqual(layout(drawing), layout(structuredClone(drawing)));
});

test("crossings are counted as they are, and ordering leaves no more than there were", () => {
  const next = chance(5);
  for (let round = 0; round < 40; round += 1) {
    const top = 3 + Math.floor(next() * 6), count = top * 2;
    const down = Array.from({ length: count }, (_, n) => (n < top ? [...new Set(Array.from({ length: 3 }, () => top + Math.floor(next() * top)))] : []));
    const graph = { real: count, rank: Array.from({ length: count }, (_, n) => (n < top ? 0 : 1)), w: Array(count).fill(10), down, ranks: 2 };
    const pairs = down.flatMap((ends, from) => ends.map((to) => [from, to]));
    const plain = (pos) => pairs.reduce((all, [a, b], n) => all + pairs.slice(n + 1).filter(([c, d]) => (pos[a] - pos[c]) * (pos[b] - pos[d]) < 0).length, 0);
    const before = plain(Array.from({ length: count }, (_, n) => n % top));
    order(graph);
    assert.equal(countCrossings(graph), plain(graph.pos));
    assert.ok(graph.crossings <= before);
  }
});

test("a tree is drawn without crossings", () => {
  const nodes = Array.from({ length: 63 }, (_, n) => ({ id: `n${n}`, w: 60, h: 40 }));
  const edges = nodes.slice(1).map((_, n) => [`n${Math.floor(n / 2)}`, `n${n + 1}`]);
  const made = layout({ nodes: [...nodes].reverse(), edges, dir: "down" });
  const middle = (id) => made.nodes[id][0] + 30;
  for (const [a, b] of edges) {
    for (const [c, d] of edges) {
      if (made.nodes[a][1] === made.nodes[c][1] && made.nodes[b][1] === made.nodes[d][1] && a !== c) assert.ok((middle(a) - middle(c)) * (middle(b) - middle(d)) > 0, `${a} → ${b} and ${c} → ${d}`);
    }
  }
});

test("a thousand nodes at random: soon, and about as wide as high", () => {
  const next = chance(11);
  const nodes = Array.from({ length: 1000 }, (_, n) => ({ id: `n${n}`, w: 184, h: 48 }));
  const edges = Array.from({ length: 999 }, (_, n) => [`n${Math.floor(next() * (n + 1))}`, `n${n + 1}`]);
  while (edges.length < 1500) {
    const a = Math.floor(next() * 999), b = a + 1 + Math.floor(next() * (999 - a));
    edges.push([`n${a}`, `n${b}`]);
  }
  const began = performance.now();
  const made = layout({ nodes, edges, dir: "down" });
  assert.ok(performance.now() - began < 3000, `it took ${performance.now() - began} ms`);
  assert.ok(made.width < 10 * made.height, `${made.width} × ${made.height}`);
  const guessed = estimate({ nodes, edges, dir: "down" });
  assert.ok(guessed.height / made.height > 0.8 && guessed.height / made.height < 1.25 && guessed.width < made.width * 1.1);
});

test("the sketch stands at once in the ranks of the layout", () => {
  const drawing = randomDrawing(3, { nodes: 200, edges: 300 });
  const quick = sketch(drawing);
  const boxes = boxesOf(drawing, quick);
  for (const a of boxes) for (const b of boxes) assert.ok(a.id >= b.id || !overlap(a, b));
  assert.ok(GAP.rank > 0 && quick.width > 0 && quick.height > 0);
});
