import assert from "node:assert/strict";
import { test } from "node:test";

const { parse, pathOf } = await import("../../../src/fairway/web/static/js/json-model.js");

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
