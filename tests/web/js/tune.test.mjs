// Pictures of a search: their numbers, and that each can be made of any search.
import assert from "node:assert/strict";
import { test } from "node:test";

import { bestSoFar, contourCells, contourOptions, curvesOptions, describe, historyOptions, importanceOptions, paretoOptions, parallelOptions, spell, usualRange } from "../../../src/fairway/web/static/js/tune-charts.js";

const look = { token: (name) => name, palette: () => Array(8).fill("#000") };
const trial = (number, state, values, params, reports = []) => ({ number, state, values, params, reports, task: `fit[${number}]`, took: 1 });
const make = (trials, more = {}) => ({ name: "tune.fit", metrics: ["auc"], directions: ["max"], params: [{ name: "lr", kind: "number", log: true }, { name: "kind", kind: "choice", choices: ["a", "b"] }], trials, best: [], asked: 5, importance: {}, ...more });
const SOME = make([
  trial(0, "complete", [0.5], { lr: 0.1, kind: "a" }, [[0, 0.1], [1, 0.5]]),
  trial(1, "failed", [], { lr: 0.01, kind: "b" }),
  trial(2, "complete", [0.4], { lr: 0.001, kind: "a" }),
  trial(3, "pruned", [0.9], { lr: 0.02, kind: "b" }, [[0, 0.9]]),
  trial(4, "complete", [0.8], { lr: 0.02, kind: "b" }),
  trial(5, "running", [], { lr: 0.02, kind: "b" }),
], { best: [4], importance: { auc: { lr: 0.9, kind: 0.1 } } });

test("the best until each trial counts complete ones alone", () => {
  assert.deepEqual(bestSoFar(SOME), [[0, 0.5], [4, 0.8], [5, 0.8]]);
  assert.deepEqual(bestSoFar({ ...SOME, directions: ["min"] }), [[0, 0.5], [2, 0.4], [5, 0.4]]);
  assert.deepEqual(bestSoFar(make([])), []);
});

test("one bad trial does not take the colours of all others", () => {
  const values = [...Array.from({ length: 30 }, (_, n) => n / 30), 1e9];
  assert.ok(usualRange(values, "min")[1] < 1);
  assert.equal(usualRange(values, "max")[1], 1e9);
  assert.deepEqual(usualRange([2], "max"), [1.5, 2.5]);
});

test("the contour is near the trials' values where they are, and silent where there are none", () => {
  const cells = contourCells([0.05, 0.1], [0.05, 0.1], [1, 1], 10, 10);
  assert.ok(cells.every(([, , value]) => Math.abs(value - 1) < 1e-9));
  assert.ok(cells.some(([column, row]) => column === 0 && row === 0));
  assert.ok(!cells.some(([column, row]) => column === 9 && row === 9));
});

test("each picture of a search", () => {
  const history = historyOptions(SOME, 0, look);
  assert.deepEqual(history.series.map((one) => one.name), ["complete", "pruned", "failed", "best so far"]);
  assert.match(history.tooltip.formatter({ data: { trial: 3 } }), /^trial 3 \(pruned\)\nauc {2}0\.9\nlr {2}0\.02/);
  assert.deepEqual(importanceOptions(SOME, 0, look).yAxis.data, ["kind", "lr"]);
  const parallel = parallelOptions(SOME, 0, look);
  assert.deepEqual(parallel.parallelAxis.map((axis) => [axis.name, axis.type]), [["lr", "log"], ["kind", "category"], ["auc", "value"]]);
  assert.equal(parallel.series[0].data.length, 3);
  const contour = contourOptions(SOME, 0, ["lr", "kind"], look);
  assert.deepEqual([contour.xAxis.length, contour.yAxis.length], [2, 1]);
  assert.deepEqual(contour.series[2].data, [{ value: [0.02, "b"], trial: 4 }]);
  assert.equal(curvesOptions(SOME, look).series.length, 2);
});

test("the Pareto front is joined in the order of the first metric", () => {
  const params = { lr: 0.1, kind: "a" };
  const two = make([trial(0, "complete", [3, 1], params), trial(1, "complete", [1, 2], params), trial(2, "complete", [1, 9], params)], { metrics: ["auc", "ms"], directions: ["max", "min"], best: [1, 0] });
  const [others, front] = paretoOptions(two, [0, 1], look).series;
  assert.deepEqual(front.data.map((one) => one.trial), [1, 0]);
  assert.deepEqual(others.data.map((one) => one.trial), [2]);
  assert.deepEqual(parallelOptions(two, 0, look).parallelAxis.at(-1).inverse, true);
});

test("numbers and trials in few words", () => {
  assert.deepEqual([spell(0.000012345), spell(0.123456), spell(undefined), spell("adam"), spell(1234567)], ["1.23e-5", "0.1235", "–", "adam", "1.23e+6"]);
  assert.equal(describe(SOME, SOME.trials[0]), "trial 0\nauc  0.5\nlr  0.1\nkind  a");
});
