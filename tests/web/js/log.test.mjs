import assert from "node:assert/strict";
import test from "node:test";
import { applySgr, cutRows, findIn, lastState, LogWindow, paletteColour, parseAnsi, parseLines, PIECE_BYTES, plainLook, soughtFor, splitStamp } from "../../../src/fairway/web/static/js/log-model.js";

import { luminance } from "../../../src/fairway/web/static/js/log-rows.js";

const encode = (text) => new TextEncoder().encode(text);
const texts = (spans) => spans.map((span) => span.text).join("");

/** A generator of numbers that are the same each time. */
function dice(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test("colours of the sixteen, of the 256 and true ones", () => {
  assert.equal(applySgr(plainLook(), "31").fg, "red");
  assert.equal(applySgr(plainLook(), "104").bg, "bright-blue");
  assert.equal(applySgr(plainLook(), "38;5;208").fg, "#ff8700");
  assert.equal(applySgr(plainLook(), "48;2;1;20;255").bg, "#0114ff");
  assert.equal(paletteColour(9), "bright-red");
  assert.equal(paletteColour(232), "#080808");
  assert.equal(paletteColour(255), "#eeeeee");
  assert.equal(paletteColour(16), "#000000");
});

test("looks are put on one by one, and taken off again", () => {
  let look = applySgr(plainLook(), "1;3;4;31");
  assert.deepEqual([look.bold, look.italic, look.underline, look.fg], [true, true, true, "red"]);
  look = applySgr(look, "22;39");
  assert.deepEqual([look.bold, look.italic, look.fg], [false, true, ""]);
  assert.deepEqual(applySgr(look, ""), plainLook());
  assert.deepEqual(applySgr(look, "0"), plainLook());
});

test("what is no whole colour does no harm", () => {
  for (const codes of ["38", "38;5", "38;2;1", "38;5;999", "999", "38;9;1"]) assert.equal(applySgr(plainLook(), codes).fg, "", codes);
});

test("a line becomes spans of one look each", () => {
  const spans = parseAnsi("a \x1b[32mINFO\x1b[0m: \x1b[1;31mred\x1b[22m still\x1b[m end");
  assert.deepEqual(spans.map((span) => [span.text, span.look?.fg ?? "", span.look?.bold ?? false]), [["a ", "", false], ["INFO", "green", false], [": ", "", false], ["red", "red", true], [" still", "red", false], [" end", "", false]]);
});

test("escapes that are no colours are left out", () => {
  assert.equal(texts(parseAnsi("a\x1b[2Kb\x1b[1;5Hc\x1b]0;title\x07d\x1b]8;;http://x\x1b\\e\x1b(Bf\x1b[?25lg\x1b=h\x1b")), "abcdefgh");
  assert.equal(parseAnsi("\x1b[?1;31mx")[0].look, null);
});

test("no text is lost or made up, whatever the escapes", () => {
  const roll = dice(7);
  const parts = ["abc", "\x1b[31m", "\x1b[0m", "ü", " ", "\x1b[38;5;12m", "\x1b[K", "x\x1b]8;;u\x07", "1"];
  for (let round = 0; round < 500; round += 1) {
    const chosen = Array.from({ length: roll(12) }, () => parts[roll(parts.length)]);
    const plain = chosen.map((part) => part.replace(/\x1b\[[0-9;]*[mK]|\x1b\]8;;u\x07/g, "")).join("");
    const spans = parseAnsi(chosen.join(""));
    assert.equal(texts(spans), plain);
    assert.ok(spans.every((span, at) => span.text && (!at || span.look !== spans[at - 1].look)));
  }
});

test("of a line that was redrawn the last state is shown", () => {
  assert.equal(lastState("10 %\r50 %\r100 %"), "100 %");
  assert.equal(lastState("done\r"), "done");
  assert.equal(texts(parseAnsi("\x1b[31m1\r\x1b[32m2\x1b[0m\r")), "2");
});

test("the time is parted from what was said", () => {
  assert.deepEqual(splitStamp("2026-11-24T08:15:03.250Z hello"), ["2026-11-24T08:15:03.250Z", "hello"]);
  assert.deepEqual(splitStamp("2026-11-24 hello"), ["", "2026-11-24 hello"]);
});

test("rows cover all bytes, and know where lines begin", () => {
  const rows = cutRows(encode("one\ntwo\n\nthree"), 100);
  assert.deepEqual(rows.map((row) => [row.start, row.end, row.first, row.ended, row.text]), [[100, 104, true, true, "one"], [104, 108, true, true, "two"], [108, 109, true, true, ""], [109, 114, true, false, "three"]]);
});

test("an endless line is cut into pieces between its characters", () => {
  const rows = cutRows(encode("ä".repeat(PIECE_BYTES) + "\nnext\n"), 0);
  assert.ok(rows.every((row) => row.end - row.start <= PIECE_BYTES + 1 && !row.text.includes("�")));
  assert.equal(rows.map((row) => row.text).join(""), `${"ä".repeat(PIECE_BYTES)}next`);
  assert.deepEqual(rows.filter((row) => row.first).map((row) => row.text.slice(0, 4)), ["ääää", "next"]);
});

/** A log of random lines, with its naive rows by line. */
function randomLog(roll) {
  const lines = Array.from({ length: 1 + roll(40) }, (_, at) => `${at + 1} ${"xü".repeat(roll(12))}`);
  return { lines, bytes: encode(`${lines.join("\n")}${roll(2) ? "\n" : ""}`) };
}

function shown(window) {
  const numbers = window.numbers();
  const found = new Map();
  window.rows.forEach((row, at) => found.set(numbers[at], (found.get(numbers[at]) ?? "") + row.text));
  return found;
}

test("appended in any parts, a window shows the whole log", () => {
  const roll = dice(3);
  for (let round = 0; round < 300; round += 1) {
    const { lines, bytes } = randomLog(roll);
    const window = new LogWindow();
    for (let at = 0; at < bytes.length;) {
      const size = 1 + roll(30);
      window.append(bytes.subarray(at, at + size));
      at += size;
    }
    assert.deepEqual([...shown(window).values()], lines);
    assert.deepEqual([...shown(window).keys()], lines.map((_, at) => at + 1));
    assert.equal(window.end, bytes.length);
  }
});

test("grown at both ends and trimmed, a window keeps its numbers", () => {
  const roll = dice(11);
  for (let round = 0; round < 300; round += 1) {
    const { lines, bytes } = randomLog(roll);
    const starts = [0];
    bytes.forEach((byte, at) => { if (byte === 10 && at + 1 < bytes.length) starts.push(at + 1); });
    const window = new LogWindow();
    const first = roll(starts.length);
    window.clear(starts[first]);
    window.number = first + 1;
    let end = starts[first];
    for (let step = 0; step < 12; step += 1) {
      const what = roll(4);
      if (what === 0 && window.start > 0 && window.rows.length) {
        const before = starts.filter((at) => at < window.start);
        const from = before[Math.max(0, before.length - 1 - roll(5))];
        window.prepend(bytes.subarray(from, window.start), from, true);
      } else if (what === 1 && window.rows.length > 2 && window.rows.every((row) => row.ended)) {
        window.trim(2 + roll(5), Boolean(roll(2)));
        end = window.end;
      } else if (end < bytes.length) {
        const size = Math.min(1 + roll(60), bytes.length - end);
        window.append(bytes.subarray(end, end + size));
        end += size;
      }
      for (const [number, text] of shown(window)) assert.ok(lines[number - 1].startsWith(text.replaceAll("�", "")), `line ${number}: ${text}`);
      for (let at = 1; at < window.rows.length; at += 1) assert.equal(window.rows[at].start, window.rows[at - 1].end);
    }
  }
});

test("a row is found by any of its bytes", () => {
  const window = new LogWindow();
  window.clear(50);
  window.append(encode("one\ntwo\nthree\n"));
  assert.deepEqual([49, 50, 53, 54, 63, 64].map((at) => window.find(at)), [-1, 0, 0, 1, 2, -1]);
});

test("what is sought is found in the text, whatever it is made of", () => {
  assert.deepEqual(findIn("a.b A.B axb", soughtFor("a.b")), [[0, 3], [4, 7]]);
  assert.deepEqual(findIn("a.b A.B axb", soughtFor("a.b", { matchCase: true })), [[0, 3]]);
  assert.deepEqual(findIn("a.b axb", soughtFor("a.b", { regex: true })), [[0, 3], [4, 7]]);
});

test("an expression that is none is nothing", () => {
  assert.equal(soughtFor("(", { regex: true }), null);
  assert.equal(soughtFor(""), null);
  assert.deepEqual(findIn("aaa", soughtFor("x*", { regex: true })), []);
});

test("lines in an address", () => {
  assert.deepEqual(parseLines("12"), [12, 12]);
  assert.deepEqual(parseLines("20-12"), [12, 20]);
  for (const text of ["", "0", "x", "1-", "-1", undefined]) assert.equal(parseLines(text), null);
});

test("how bright a colour is decides how it is shown", () => {
  assert.equal(luminance("#000000"), 0);
  assert.ok(Math.abs(luminance("#ffffff") - 1) < 1e-9);
  const bright = ["#0000ff", "#ff0000", "#00ff00", "#ffff00"].map(luminance);
  assert.deepEqual(bright, [...bright].sort((a, b) => a - b));
});
