import assert from "node:assert/strict";
import test from "node:test";
import { describeBar, explainTime, loadArea, longestChain, packLanes, percent, phasesOf, spanOf, ticks } from "../../../src/fairway/web/static/js/timeline-model.js";
import { chance } from "./made.mjs";

const bar = (planned_at, started_at, running_at, writing_at, ended_at, more = {}) => ({ task: "t", attempt: "a", n: 1, status: "succeeded", planned_at, started_at, running_at, writing_at, ended_at, ...more });
const spell = (found) => found.map(({ phase, from, to }) => `${phase} ${from}-${to}`).join(", ");

test("a bar has the phases that it went through", () => {
  assert.equal(spell(phasesOf(bar(0, 1, 3, 7, 8), 99)), "waiting 0-1, starting 1-3, running 3-7, writing 7-8");
  assert.equal(spell(phasesOf(bar(0, 1, 1, 7, 7), 99)), "waiting 0-1, running 1-7");
});

test("what goes on lasts until now", () => {
  assert.equal(spell(phasesOf(bar(2), 5)), "waiting 2-5");
  assert.equal(spell(phasesOf(bar(2, 3), 5)), "waiting 2-3, starting 3-5");
  assert.equal(spell(phasesOf(bar(2, 3, 4), 5)), "waiting 2-3, starting 3-4, running 4-5");
});

test("what failed before it wrote has run until its end", () => {
  assert.equal(spell(phasesOf(bar(0, 1, 2, undefined, 9), 99)), "waiting 0-1, starting 1-2, running 2-9");
  assert.equal(spell(phasesOf(bar(0, undefined, undefined, undefined, 4), 99)), "waiting 0-4");
});

test("phases never go backwards, whatever the clocks say", () => {
  const next = chance(3);
  for (let round = 0; round < 200; round += 1) {
    const some = () => (next() < 0.3 ? undefined : next() * 10);
    const one = bar(next() * 10, some(), some(), some(), some());
    let at = one.planned_at;
    for (const { from, to } of phasesOf(one, 11)) {
      assert.ok(from >= at && to > from);
      at = to;
    }
  }
});

test("bars in a lane do not lie on each other; as many lanes as ran at once, at most the bound", () => {
  const next = chance(9);
  for (let round = 0; round < 100; round += 1) {
    const bars = Array.from({ length: 1 + Math.floor(next() * 60) }, () => { const start = next() * 100; return bar(start - next() * 50, start, start, start, start + next() * 20); });
    const { lanes, left } = packLanes(bars, 200, 5);
    assert.equal(lanes.flat().length + left, bars.length);
    assert.ok(lanes.length <= 5);
    for (const lane of lanes) {
      lane.forEach(({ bar: one, shown }, n) => {
        assert.ok(shown >= one.planned_at && (one.started_at >= shown || n === 0));
        if (n) assert.ok(lane[n - 1].bar.ended_at <= one.started_at + 1e-5 && shown >= lane[n - 1].bar.ended_at);
      });
    }
    if (!left) {
      const most = Math.max(...bars.map((one) => bars.filter((other) => other.started_at <= one.started_at && other.ended_at > one.started_at).length));
      assert.equal(lanes.length, most);
    }
  }
});

test("the axis has round marks, about as far apart as wanted", () => {
  assert.deepEqual(ticks(0, 1.3, 900).map((one) => one.label), ["0", "200 ms", "400 ms", "600 ms", "800 ms", "1 s", "1.2 s"]);
  assert.deepEqual(ticks(0, 7200, 700).map((one) => one.label), ["0", "30 min", "1 h", "1 h 30 min", "2 h"]);
  for (const span of [0.004, 0.3, 12, 500, 9000, 1e6, 1e8]) {
    const found = ticks(span / 3, span, 800);
    assert.ok(found.length <= 20, `${found.length} marks for ${span} s`);
    for (const { at } of found) assert.ok(at >= span / 3 - 1e-6 && at <= span + 1e-6);
  }
});

const row = (id, from, to) => ({ id, label: id, status: "succeeded", counts: {}, totals: {}, bars: [], from, to });

test("the longest chain leads from the last end back over what ended last before", () => {
  const rows = [row("load", 0, 2), row("other", 0, 1), row("train", 2, 9), row("side", 2, 3), row("end", 9.5, 10)];
  const edges = [["load", "train"], ["other", "train"], ["load", "side"], ["side", "end"], ["train", "end"]].map(([from, to]) => ({ from, to }));
  assert.deepEqual(longestChain(rows, edges, 99), [{ id: "load", from: 0, to: 2 }, { id: "train", from: 2, to: 9 }, { id: "end", from: 9.5, to: 10 }]);
});

test("steps inside a dynamic one are part of its time", () => {
  const rows = [row("refine", 0, 5), row("refine/score", 1, 5), row("use", 5, 6)];
  const edges = [{ from: "refine", to: "refine/score" }, { from: "refine", to: "use" }];
  assert.deepEqual(longestChain(rows, edges, 9).map((one) => one.id), ["refine", "use"]);
});

test("a cycle or a run without steps ends", () => {
  assert.deepEqual(longestChain([], [], 1), []);
  const rows = [row("a", 0, 2), row("b", 0, 2)];
  assert.equal(longestChain(rows, [{ from: "a", to: "b" }, { from: "b", to: "a" }], 9).length, 2);
});

test("in words: what took the time, and which phase it was if not running", () => {
  const data = { began_at: 0, ended_at: 10, rows: [row("load", 0, 1.5), row("train", 1.6, 10)], totals: { waiting: 0.1, starting: 3.1, running: 7, writing: 0.1 } };
  const told = explainTime(data, [{ from: "load", to: "train" }], 99);
  assert.deepEqual(told.parts.map(({ id, share }) => `${id} ${percent(share)}`), ["train 84%", "load 15%"]);
  assert.deepEqual(told.sentences, ["3.1 s were spent starting."]);
  const queued = explainTime({ ...data, totals: { waiting: 90, starting: 1, running: 9, writing: 0 } }, [], 99);
  assert.deepEqual(queued.sentences, ["Tasks spent 90% of their time waiting for a place to run."]);
  assert.deepEqual(explainTime({ began_at: 0, rows: [], totals: {} }, [], 1).sentences, []);
});

test("a bar tells its phases", () => {
  assert.deepEqual(describeBar(bar(0, 1, 3, 7, 8, { n: 2, items: 5 }), 9), [["state", "succeeded, attempt 2"], ["tasks", "5"], ["waiting", "1.0 s"], ["starting", "2.0 s"], ["running", "4.0 s"], ["writing", "1.0 s"], ["in all", "8.0 s"]]);
});

test("small parts, spans, areas", () => {
  assert.deepEqual([percent(0), percent(0.004), percent(0.5), percent(0.996), percent(1)], ["0%", "<1%", "50%", ">99%", "100%"]);
  assert.deepEqual(spanOf({ began_at: 5, now: 7 }, 9), [5, 9]);
  assert.deepEqual(spanOf({ began_at: 5, now: 7, ended_at: 8 }, 99), [5, 8]);
  assert.equal(loadArea([[0, 0], [1, 2]], (at) => at * 10, 22), "M0 22L0 22L10 2L10 22Z");
  assert.equal(loadArea([], () => 0, 9), "");
});
