import assert from "node:assert/strict";
import test from "node:test";
import { chooseDirection, foldAtFirst, makeModel, nextNode, related, shareDone, spellNote, spellWhole } from "../../../src/fairway/web/static/js/graph-model.js";
import { graphData } from "./made.mjs";

const edgesOf = (model) => model.edges.map(({ from, to }) => `${from} ${to}`).sort();
const idsOf = (some) => some.map((one) => one.id);

test("an open graph is drawn as it is, in its order", () => {
  const data = graphData([{ id: "a" }, { id: "b", group: "g" }, { id: "c" }], ["a b", "b c"], [{ id: "g" }, { id: "empty" }]);
  const model = makeModel(data, new Set());
  assert.deepEqual(idsOf(model.nodes), ["a", "b", "c"]);
  assert.deepEqual(idsOf(model.groups), ["g"], "a group without steps is not drawn");
  assert.deepEqual(edgesOf(model), ["a b", "b c"]);
});

test("a folded group is one node with what is known of its steps; edges lead to it, each once", () => {
  const data = graphData(
    [{ id: "a" }, { id: "b", group: "g", started_at: 10, ended_at: 12 }, { id: "c", group: "h", started_at: 12, ended_at: 15, status: "failed", error: { code: "X", message: "no" } }, { id: "d" }],
    ["a b", "a c", "b c", "c d", "b d"],
    [{ id: "g", status: "failed", counts: { succeeded: 1, failed: 1 } }, { id: "h", parent: "g" }],
  );
  const model = makeModel(data, new Set(["g"]));
  assert.deepEqual(idsOf(model.nodes), ["a", "g", "d"]);
  assert.deepEqual(edgesOf(model), ["a g", "g d"]);
  const group = model.nodes[1];
  assert.deepEqual([group.steps, group.started_at, group.ended_at, group.error.message, group.status], [2, 10, 15, "no", "failed"]);
  assert.equal(spellNote(group, 99), "2 steps · failed · 5.0 s");
  assert.deepEqual(idsOf(makeModel(data, new Set(["h"])).nodes), ["a", "b", "h", "d"]);
  assert.notEqual(model.shape, makeModel(data, new Set()).shape);
  assert.equal(model.shape, makeModel(data, new Set(["g", "gone"])).shape, "what is folded and not there does not count");
});

test("what a dynamic step made stands after it and before what follows it; folded, it is part of the step", () => {
  const data = graphData(
    [{ id: "pick" }, { id: "refine", kind: "dynamic" }, { id: "refine/score", group: "refine/" }, { id: "refine/choose", group: "refine/" }, { id: "use" }],
    ["pick refine", "refine refine/score", "refine/score refine/choose", "refine use"],
    [{ id: "refine/", label: "refine", kind: "dynamic" }],
  );
  assert.deepEqual(edgesOf(makeModel(data, new Set())), ["pick refine", "refine refine/score", "refine/ use", "refine/score refine/choose"].sort());
  const folded = makeModel(data, new Set(["refine/"]));
  assert.deepEqual(idsOf(folded.nodes), ["pick", "refine", "use"]);
  assert.deepEqual(edgesOf(folded), ["pick refine", "refine use"]);
  assert.deepEqual(folded.nodes[1].inner, ["refine/"]);
  assert.match(spellNote(folded.nodes[1], 0), /\+2 steps/);
});

test("a folded step that made others which made others is one node", () => {
  const data = graphData(
    [{ id: "r" }, { id: "r/r", group: "r/" }, { id: "r/r/s", group: "r/r/" }, { id: "end" }],
    ["r r/r", "r/r r/r/s", "r end"],
    [{ id: "r/", kind: "dynamic" }, { id: "r/r/", kind: "dynamic", parent: "r/" }],
  );
  assert.deepEqual(idsOf(makeModel(data, new Set(["r/"])).nodes), ["r", "end"]);
  assert.deepEqual(idsOf(makeModel(data, new Set(["r/r/"])).nodes), ["r", "r/r", "end"]);
  assert.deepEqual(foldAtFirst(data), ["r/r/"], "what lies deep is folded at first");
});

test("edges tell what was stopped by a failure, and what runs", () => {
  const data = graphData([{ id: "a" }, { id: "bad", status: "failed" }, { id: "late", status: "skipped" }, { id: "now", status: "running" }], ["a bad", "bad late", "a now"]);
  assert.deepEqual(makeModel(data, new Set()).edges.map((edge) => edge.state), ["done", "stopped", "busy"]);
});

test("of a large graph all groups are folded at first, of a small one none that lies near", () => {
  const some = graphData([{ id: "a", group: "g" }, { id: "b" }], [], [{ id: "g" }]);
  assert.deepEqual(foldAtFirst(some), []);
  const many = graphData(Array.from({ length: 400 }, (_, n) => ({ id: `n${n}`, group: n % 2 ? "g" : "h" })), [], [{ id: "g" }, { id: "h" }]);
  assert.deepEqual(foldAtFirst(many), ["g", "h"]);
});

test("a node says in a line what matters of its state", () => {
  const node = (more) => ({ id: "x", label: "x", kind: "python", total: 1, counts: {}, status: "succeeded", ...more });
  assert.equal(spellNote(node({ started_at: 10, ended_at: 13.04 }), 99), "3.0 s");
  assert.equal(spellNote(node({ status: "running", started_at: 10 }), 22), "12 s");
  assert.equal(spellNote(node({ status: "failed", started_at: 1, ended_at: 2, error: { code: "FW", message: "no such luck\nmore" } }), 9), "no such luck");
  assert.equal(spellNote(node({ status: "waiting" }), 9), "waiting");
  assert.equal(spellNote(node({ mapped: true, total: 1200, counts: { succeeded: 1000, cached: 100, failed: 3 }, status: "failed", started_at: 1, ended_at: 62 }), 99), "3/1,200 failed · 1 min 1 s");
  assert.equal(spellNote(node({ mapped: true, total: 1200, counts: { succeeded: 1000, cached: 100, running: 9 }, status: "running", started_at: 1 }), 62), "1,100/1,200 · 1 min 1 s");
  assert.equal(spellWhole(node({ status: "skipped", guard: "k > 1" }), "skipped"), "step, if k > 1");
  assert.equal(spellWhole(node({ status: "failed" }), "no such luck", { label: true, note: true }), "step x, failed, no such luck");
  assert.deepEqual(shareDone(node({ total: 4, counts: { succeeded: 1, skipped: 1, failed: 1, running: 1 } })), { well: 0.25, badly: 0.25 });
  assert.deepEqual(shareDone(node({ total: 0 })), { well: 0, badly: 0 });
});

test("arrow keys go to the nearest node that way", () => {
  const places = { a: [0, 0], b: [100, 10], c: [100, 200], d: [300, 0], e: [-50, 60] };
  assert.equal(nextNode(places, "a", "ArrowRight"), "b");
  assert.equal(nextNode(places, "b", "ArrowRight"), "d");
  assert.equal(nextNode(places, "b", "ArrowDown"), "c");
  assert.equal(nextNode(places, "d", "ArrowRight"), null);
  assert.equal(nextNode(places, "nobody", "ArrowUp"), null);
});

test("what hangs together with a node is all before it and all after it", () => {
  const edges = ["a b", "b c", "x c", "c d", "b y"].map((one) => ({ from: one[0], to: one[2] }));
  assert.deepEqual([...related(edges, "c")].sort(), ["a", "b", "c", "d", "x"]);
});

test("the direction is the one that can be shown larger", () => {
  const wide = { width: 2000, height: 200 }, high = { width: 300, height: 1500 };
  assert.equal(chooseDirection({ right: wide, down: high }, 1400, 500), "right");
  assert.equal(chooseDirection({ right: wide, down: high }, 360, 700), "down");
  assert.equal(chooseDirection({ right: { width: 50, height: 50 }, down: { width: 50, height: 50 } }, 900, 900), "right");
});
