import assert from "node:assert/strict";
import test from "node:test";
import { curve } from "../../../src/fairway/web/static/js/graph-draw.js";

const POINTS = [0, 0, 40, 50, 40, 90, 10, 140, 10, 180, 10, 230];

test("an edge bends between ranks and is straight along them", () => {
  assert.equal(curve(POINTS, false), "M0 0C0 25 40 25 40 50L40 90C40 115 10 115 10 140L10 180L10 230");
  assert.equal(curve([0, 0, 50, 40], true), "M0 0C25 0 25 40 50 40");
  assert.equal(curve([], false), "");
});

test("a part of an edge is drawn as it is in the whole", () => {
  assert.equal(curve(POINTS, false, 1, 3), "M40 50L40 90C40 115 10 115 10 140");
  assert.equal(curve(POINTS, false, 2, 3), "M40 90C40 115 10 115 10 140");
});
