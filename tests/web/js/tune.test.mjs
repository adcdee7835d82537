// Pictures of a search: their numbers, and that each can be made of any search.
import assert from "node:assert/strict";
import { test } from "node:test";

import { beyondNote, bestSoFar, contourCells, contourOptions, curvesOptions, cutNote, describe, historyOptions, importanceOptions, paretoOptions, parallelOptions, shownRange, spell, usualRange } from "../../../src/fairway/web/static/js/tune-charts.js";

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

test("one bad trial does not press all others into a line", () => {
  const many = make(Array.from({ length: 30 }, (_, n) => trial(n, "complete", [n === 7 ? -1e6 : n / 30], { lr: 0.1 + n, kind: n % 2 ? "a" : "b" }, [[0, n === 7 ? -1e6 : 0.1], [1, n / 30]])));
  const low = shownRange(many.trials.map((one) => one.values[0]), "max")[0];
  assert.ok(low > -1 && low < 0.1);
  assert.deepEqual(shownRange([1, 2, 3, 9], "min"), [1, 9], "not far");
  assert.deepEqual(shownRange([], "max"), [-Infinity, Infinity]);
  const least = (points) => Math.min(...points.map((point) => (point.value ?? point).at(-1)));
  assert.equal(least(historyOptions(many, 0, look).series[0].data), low);
  assert.equal(least(parallelOptions(many, 0, look).series[0].data), low);
  assert.ok(least(contourOptions(many, 0, ["lr", "kind"], look).series[0].data) >= low);
  assert.ok(curvesOptions(many, look).yAxis.min > -1);
  assert.match(cutNote(many), /^cut off below -0\.\d+$/);
  assert.equal(cutNote(SOME), "");
  assert.match(historyOptions(many, 0, look).tooltip.formatter({ data: { trial: 7 } }), /auc {2}-1\.00e\+6/);
});

test("what is pruned is drawn where it was, and by an arrow where that is far off", () => {
  const params = { lr: 0.1, kind: "a" };
  const auc = (pruned) => make([...Array.from({ length: 20 }, (_, n) => trial(n, "complete", [0.7 + n / 100], params)), trial(20, "pruned", [pruned], params)]);
  const pointOf = (study) => historyOptions(study, 0, look).series.find((one) => one.name === "pruned").data[0];
  assert.deepEqual(pointOf(auc(0.6)), { value: [20, 0.6], trial: 20 });
  assert.deepEqual(pointOf(auc(0.95)), { value: [20, 0.95], trial: 20 }, "better than all complete ones");
  assert.deepEqual([beyondNote(auc(0.6), 0), beyondNote(auc(0.95), 0), beyondNote(make([]), 0)], ["", "", ""]);
  const far = pointOf(auc(-5));
  assert.ok(far.value[1] > 0.5);
  assert.deepEqual([far.symbol, far.symbolRotate, beyondNote(auc(-5), 0)], ["triangle", 180, "▼ further down than is drawn"]);
  const loss = { ...auc(50), directions: ["min"] };
  assert.deepEqual([pointOf(loss).symbol, pointOf(loss).symbolRotate, beyondNote(loss, 0)], ["triangle", 0, "▲ further up than is drawn"]);
  const two = make(Array.from({ length: 20 }, (_, n) => trial(n, "complete", [n === 3 ? -90 : n, n === 4 ? 900 : n], params)), { metrics: ["auc", "ms"], directions: ["max", "min"] });
  const turned = new Map(paretoOptions(two, [0, 1], look).series[0].data.map((one) => [one.trial, one.symbolRotate]));
  assert.deepEqual([turned.get(3), turned.get(4), turned.get(5)], [90, 0, undefined], "to the left, up");
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
