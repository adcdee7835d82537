import assert from "node:assert/strict";
import { test } from "node:test";

const { find, isHolder, parse, pathOf } = await import("../../../src/fairway/web/static/js/json-model.js");

test("JSON as Python writes it is read, and only bare words are replaced", () => {
  assert.deepEqual(parse('{"a": [NaN, -Infinity, 1], "b": "NaN and \\" Infinity"}'), { a: [null, null, 1], b: 'NaN and " Infinity' });
  assert.deepEqual(parse("[1]"), [1]);
  assert.throws(() => parse("{nothing"));
});

test("paths are as one writes them in a program", () => {
  assert.equal(pathOf("", "rows", false), "rows");
  assert.equal(pathOf("rows", 3, true), "rows[3]");
  assert.equal(pathOf("rows[3]", "a b", false), 'rows[3]["a b"]');
  assert.equal(pathOf("rows[3]", "name", false), "rows[3].name");
});

test("what is looked for is found in keys and values, in order", () => {
  const value = { a: [{ name: "Ann" }, { name: "bob", ann: 1 }], b: { list: ["x", "ANN"] }, n: null, e: {} };
  assert.deepEqual(find(value, "ann"), [["a", 0, "name"], ["a", 1, "ann"], ["b", "list", 1]]);
  assert.deepEqual(find(value, "null"), [["n"]]);
  assert.deepEqual(find(value, "0"), []);
  assert.equal(find(Array.from({ length: 50 }, () => "same"), "same", 10).length, 10);
  assert.deepEqual(find("text", "ex"), [[]]);
});

test("what holds others can be opened", () => {
  assert.deepEqual([[], [1], {}, { a: 1 }, null, "text", 3].map(isHolder), [false, true, false, true, false, false, false]);
});
