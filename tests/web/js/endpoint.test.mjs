// What the page of an endpoint counts with: shares that add up, columns that go on, a form out of a schema.
import assert from "node:assert/strict";
import test from "node:test";
import { joined, pairs, spanOf, spellMs } from "../../../src/fairway/web/static/js/endpoint-series.js";
import { rebalance, spellTraffic } from "../../../src/fairway/web/static/js/traffic-model.js";
import { bodyOf, describe, faultsOf, firstValue, readText, spellCurl, toCsv } from "../../../src/fairway/web/static/js/try-model.js";

const random = (() => { let seed = 7; return () => (seed = (seed * 48271) % 2147483647) / 2147483647; })();

test("shares add up to 100 whatever is moved, and none is below nothing", () => {
  for (let round = 0; round < 2000; round += 1) {
    const count = 1 + Math.floor(random() * 6);
    let weights = Array.from({ length: count }, (_, n) => (n ? 0 : 100));
    for (let move = 0; move < 4; move += 1) {
      const at = Math.floor(random() * count);
      const value = round % 2 ? Math.floor(random() * 101) : Math.round(random() * 10000) / 100;
      weights = rebalance(weights, at, value);
      assert.equal(Math.round(weights.reduce((sum, one) => sum + one, 0) * 100), 10000, weights.join());
      assert.ok(weights.every((one) => one >= 0 && one <= 100));
      if (count > 1) assert.equal(Math.round(weights[at] * 100), Math.round(value * 100));
      if (round % 2) assert.ok(weights.every(Number.isInteger), "whole percents stay whole");
    }
  }
});

test("others keep their proportions, and the first takes what nobody had", () => {
  assert.deepEqual(rebalance([60, 30, 10], 2, 40), [40, 20, 40]);
  assert.deepEqual(rebalance([100, 0, 0], 0, 70), [70, 30, 0]);
  assert.deepEqual(rebalance([0, 100, 0], 1, 90), [10, 90, 0]);
  assert.deepEqual(rebalance([50, 50], 0, NaN), [0, 100]);
  assert.deepEqual(rebalance([50, 50], 0, 999), [100, 0]);
  assert.deepEqual(rebalance([100], 0, 20), [100]);
});

test("the command names who takes traffic, by number, and the target", () => {
  assert.equal(spellTraffic("fairway traffic risk", [4, 3, 2], [5, 95, 0]), "fairway traffic risk 3=95 4=5");
  assert.equal(spellTraffic("fairway traffic risk --on campus", [4, 3], [2.5, 97.5]), "fairway traffic risk 3=97.5 4=2.5 --on campus");
});

const columns = (at, rates) => ({ at, p50: at.map((one) => one / 10), rates });

test("what is new comes after what there is, and what is old goes", () => {
  const made = joined(columns([0, 10, 20], { 3: [1, 2, 3] }), columns([20, 21, 30], { 4: [7, 8, 9] }), 25);
  assert.deepEqual(made.at, [10, 20, 21, 30]);
  assert.deepEqual(made.p50, [1, 2, 2.1, 3]);
  assert.deepEqual(made.rates, { 3: [2, 3, 0, 0], 4: [0, 0, 8, 9] });
  assert.deepEqual(joined(columns([], {}), columns([1], { 1: [2] })), columns([1], { 1: [2] }));
  assert.deepEqual(joined(columns([1], { 1: [2] }), columns([], {})), columns([1], { 1: [2] }));
  assert.deepEqual(joined(columns([5], { 1: [2] }), columns([4, 5], { 1: [9, 9] })), columns([5], { 1: [2] }));
});

test("a point alone is a dot, others are a line that breaks", () => {
  const series = { at: [1, 2, 3, 4, 5] };
  assert.deepEqual(pairs(series, [7, null, 8, 9, null]), [{ value: [1000, 7], symbol: "circle", symbolSize: 4 }, [2000, null], [3000, 8], [4000, 9], [5000, null]]);
});

test("a chart goes over what there is, up to half an hour", () => {
  assert.deepEqual(spanOf(columns([100, 3000], {}), 0), [1200e3, 3000e3]);
  assert.deepEqual(spanOf(columns([2500, 3000], {}), 0), [2500e3, 3000e3]);
  assert.deepEqual(spanOf(columns([2990, 3000], {}), 0), [2880e3, 3000e3]);
  assert.deepEqual(spanOf(columns([], {}), 500), [380e3, 500e3]);
});

test("latencies in words", () => {
  assert.deepEqual([null, 0, 0.24, 4.14, 142.2, 3200].map(spellMs), ["–", "0 ms", "0.24 ms", "4.1 ms", "142 ms", "3.2 s"]);
});

const SCHEMA = {
  $defs: { place: { type: "object", required: ["city"], properties: { city: { type: "string" } } } },
  properties: {
    inputs: {
      type: "array",
      items: {
        type: "object", required: ["age", "job", "at"],
        properties: {
          age: { type: "integer", minimum: 18, maximum: 110 }, job: { enum: ["a", "b", null] }, days: { type: ["number", "null"] },
          at: { $ref: "#/$defs/place" }, maybe: { anyOf: [{ $ref: "#/$defs/place" }, { type: "null" }] }, ok: { type: "boolean", default: true },
          list: { type: "array", items: { type: "number" } }, people: { type: "array", items: { $ref: "#/$defs/place" } }, any: {}, either: { oneOf: [{ type: "string" }, { type: "number" }] },
        },
      },
    },
  },
};

test("a schema becomes fields: nested, of several kinds, with and without null", () => {
  const { field, rows } = describe(SCHEMA);
  assert.equal(rows, true);
  const told = Object.fromEntries(field.children.map((one) => [one.name, [one.kind, one.nullable, one.required]]));
  assert.deepEqual(told, {
    age: ["integer", false, true], job: ["choice", true, true], days: ["number", true, false], at: ["object", false, true], maybe: ["object", true, false],
    ok: ["boolean", false, false], list: ["json", false, false], people: ["list", false, false], any: ["json", false, false], either: ["json", false, false],
  });
  assert.equal(field.children[0].limits, "18 to 110");
  assert.deepEqual(field.children[1].choices, ["a", "b"]);
  assert.equal(describe({ properties: { inputs: {} } }), null);
  assert.equal(describe(null), null);
  assert.equal(describe({ properties: { inputs: { type: "string" } } }).field.kind, "string");
});

test("a schema that contains itself ends", () => {
  const tree = { properties: { inputs: { $ref: "#/$defs/node" } }, $defs: { node: { type: "object", properties: { next: { $ref: "#/$defs/node" } } } } };
  assert.equal(describe(tree).field.kind, "object");
  assert.equal(describe({ properties: { inputs: { $ref: "#/$defs/x" } }, $defs: { x: { $ref: "#/$defs/x" } } }).field.kind, "json");
});

test("the form begins with the example, whatever its form, else with what is usual", () => {
  const form = describe(SCHEMA);
  const row = { age: 41, job: "a" };
  for (const example of [{ inputs: [row] }, { data: [row] }, [row], { inputs: { age: [41], job: ["a"] } }, { columns: ["age", "job"], data: [[41, "a"]] }]) assert.deepEqual(firstValue(form, example), row);
  assert.deepEqual(firstValue(form, null), { ok: true });
  assert.deepEqual(bodyOf(form, row), { inputs: [row] });
  assert.deepEqual(bodyOf(form, row, true), [row]);
  const value = describe({ properties: { inputs: { type: "number" } } });
  assert.deepEqual(bodyOf(value, firstValue(value, { inputs: 3 })), { inputs: 3 });
});

test("texts become values, or say what is wrong", () => {
  const field = (kind, more = {}) => ({ kind, required: true, nullable: false, ...more });
  assert.equal(readText(field("integer"), " 41 "), 41);
  assert.equal(readText(field("number"), "1,5"), 1.5);
  assert.equal(readText(field("string"), ""), "");
  assert.equal(readText(field("string", { required: false }), ""), undefined);
  assert.equal(readText(field("number", { required: false }), ""), undefined);
  assert.equal(readText(field("boolean"), "false"), false);
  assert.equal(readText(field("choice", { choices: [1, "two"] }), "1"), 1);
  assert.deepEqual(readText(field("json"), "[1, 2]"), [1, 2]);
  assert.throws(() => readText(field("number"), "old"), /no number/);
  assert.throws(() => readText(field("integer"), "1.5"), /whole/);
  assert.throws(() => readText(field("number"), ""), /missing/);
  assert.throws(() => readText(field("json"), "abc"), /JSON/);
});

test("rows pasted from a spreadsheet become CSV", () => {
  assert.equal(toCsv('age\tjob\r\n41\tadmin, "chief"\r\n\r\n'), 'age,job\n41,"admin, ""chief"""\n');
  assert.equal(toCsv("age,job\n41,x"), "age,job\n41,x\n");
});

test("curl gets what a shell leaves alone", () => {
  assert.equal(spellCurl("http://h/risk", "json", `{"a": "it's"}`, false), `curl http://h/risk/predict -H 'Content-Type: application/json' -d '{"a": "it'"'"'s"}'`);
  assert.match(spellCurl("http://h/risk", "csv", "a\n1\n", true), /Bearer \$FAIRWAY_KEY.*text\/csv' --data-binary/);
});

test("faults of an answer name their fields; other answers have none", () => {
  assert.deepEqual(faultsOf({ error: { faults: [{ row: 0, field: "age", came: "a text", expected: "a number" }] } }), [{ row: 0, field: "age", text: "came a text, expected a number" }]);
  for (const other of [null, {}, { error: "no" }, { error: { faults: "x" } }, [1]]) assert.deepEqual(faultsOf(other), []);
});
