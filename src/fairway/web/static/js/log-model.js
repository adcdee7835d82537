// A log as data: colours out of escapes, bytes into rows, a window of rows that grows at both ends. Pure: no page, no network.

/** A row of more bytes is shown in pieces of this size: what a program prints need never end. */
export const PIECE_BYTES = 16 << 10;
const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g;
const STAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z) /;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/**
 * @typedef {{fg: string, bg: string, bold: boolean, dim: boolean, italic: boolean, underline: boolean, strike: boolean, inverse: boolean}} Look
 * A colour is "" (none), a name such as "red" or "bright-red", or "#rrggbb".
 */

/** @returns {Look} */
export function plainLook() {
  return { fg: "", bg: "", bold: false, dim: false, italic: false, underline: false, strike: false, inverse: false };
}

/** A colour of the 256: a name for the first sixteen, else "#rrggbb". */
export function paletteColour(n) {
  if (n < 8) return NAMES[n];
  if (n < 16) return `bright-${NAMES[n - 8]}`;
  const hex = (...parts) => `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  if (n >= 232) return hex(...Array(3).fill(8 + (n - 232) * 10));
  const step = (value) => (value ? 55 + value * 40 : 0);
  return hex(step(Math.floor((n - 16) / 36)), step(Math.floor((n - 16) / 6) % 6), step((n - 16) % 6));
}

function extended(codes, at) {
  if (codes[at] === 5 && codes[at + 1] <= 255) return [paletteColour(codes[at + 1]), at + 2];
  if (codes[at] === 2) {
    const parts = codes.slice(at + 1, at + 4);
    if (parts.length === 3 && parts.every((part) => part <= 255)) return [`#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`, at + 4];
  }
  return ["", codes.length];
}

/** The look after an SGR sequence with these parameters ("1;31"). */
export function applySgr(look, parameters) {
  let made = { ...look };
  const codes = parameters.split(/[;:]/).map((one) => Number.parseInt(one || "0", 10));
  for (let at = 0; at < codes.length;) {
    const code = codes[at++];
    if (code === 0) made = plainLook();
    else if (code === 1) made.bold = true;
    else if (code === 2) made.dim = true;
    else if (code === 3) made.italic = true;
    else if (code === 4) made.underline = true;
    else if (code === 7) made.inverse = true;
    else if (code === 9) made.strike = true;
    else if (code === 22) made.bold = made.dim = false;
    else if (code === 23) made.italic = false;
    else if (code === 24) made.underline = false;
    else if (code === 27) made.inverse = false;
    else if (code === 29) made.strike = false;
    else if (code >= 30 && code <= 37) made.fg = NAMES[code - 30];
    else if (code >= 40 && code <= 47) made.bg = NAMES[code - 40];
    else if (code >= 90 && code <= 97) made.fg = `bright-${NAMES[code - 90]}`;
    else if (code >= 100 && code <= 107) made.bg = `bright-${NAMES[code - 100]}`;
    else if (code === 39) made.fg = "";
    else if (code === 49) made.bg = "";
    else if (code === 38) [made.fg, at] = extended(codes, at);
    else if (code === 48) [made.bg, at] = extended(codes, at);
  }
  return made;
}

/** Of a line that was redrawn with carriage returns its last state. */
export function lastState(text) {
  const bare = text.replace(/\r+$/, "");
  const at = bare.lastIndexOf("\r");
  return at < 0 ? bare : bare.slice(at + 1);
}

/** The text of a line as spans of one look each. Escapes that are no colours are left out. */
export function parseAnsi(text) {
  const line = text.includes("\r") ? lastState(text) : text;
  if (!line.includes("\x1b")) return line ? [{ text: line, look: null }] : [];
  const spans = [];
  let look = null;
  let at = 0;
  const add = (part) => {
    if (!part) return;
    const last = spans[spans.length - 1];
    if (last && last.look === look) last.text += part;
    else spans.push({ text: part, look });
  };
  for (const found of line.matchAll(ESCAPE)) {
    add(line.slice(at, found.index));
    at = found.index + found[0].length;
    if (found[2] === "m" && !/[<=>?]/.test(found[1])) {
      const next = applySgr(look ?? plainLook(), found[1]);
      look = isPlain(next) ? null : next;
    }
  }
  add(line.slice(at).replaceAll("\x1b", ""));
  return spans;
}

function isPlain(look) {
  return !look.fg && !look.bg && !look.bold && !look.dim && !look.italic && !look.underline && !look.strike && !look.inverse;
}

/** [time, rest] of a line as it is kept; time is "" where there is none. */
export function splitStamp(text) {
  const found = STAMP.exec(text);
  return found ? [found[1], text.slice(found[0].length)] : ["", text];
}

/**
 * @typedef {{start: number, end: number, first: boolean, ended: boolean, text: string}} Row
 * Bytes from `start` to `end` (the newline included); `first`: a line begins here, it is no later piece of one; `ended`: it has its newline.
 */

const decoder = new TextDecoder("utf-8");

/** Rows of `bytes`, which are at `base` of the log. `atStart`: a line begins there. */
export function cutRows(bytes, base, atStart = true) {
  /** @type {Row[]} */
  const rows = [];
  let at = 0;
  let first = atStart;
  while (at < bytes.length) {
    let end = bytes.indexOf(10, at);
    const ended = end >= 0 && end - at <= PIECE_BYTES;
    if (ended) end += 1;
    else end = Math.min(bytes.length, at + PIECE_BYTES);
    if (!ended) for (let back = 0; back < 3 && end < bytes.length && end > at + 4 && (bytes[end] & 0xc0) === 0x80; back += 1) end -= 1;
    rows.push({ start: base + at, end: base + end, first, ended, text: decoder.decode(bytes.subarray(at, ended ? end - 1 : end)) });
    first = ended;
    at = end;
  }
  return rows;
}

/** Rows without each other's gaps: what is loaded of a log. `number` is that of the line of the first row, 0 while it is not known. */
export class LogWindow {
  constructor() {
    this.clear(0);
  }

  /** Nothing is loaded; what comes next begins at byte `at`. */
  clear(at) {
    /** @type {Row[]} */
    this.rows = [];
    this.start = this.end = at;
    this.number = at === 0 ? 1 : 0;
  }

  /** Add bytes that follow. Returns [rows that are new, 1 if the last row was replaced because it has grown]. */
  append(bytes) {
    const last = this.rows[this.rows.length - 1];
    let made;
    let replaced = 0;
    if (last && !last.ended && last.end - last.start < PIECE_BYTES) {
      const whole = new Uint8Array(last.end - last.start + bytes.length);
      whole.set(last.bytes ?? new TextEncoder().encode(last.text));
      whole.set(bytes, last.end - last.start);
      made = cutRows(whole, last.start, last.first);
      this.rows.pop();
      replaced = 1;
    } else {
      made = cutRows(bytes, this.end, last ? last.ended : true);
    }
    const open = made[made.length - 1];
    if (open && !open.ended) open.bytes = this.#tail(bytes, open, replaced ? last : null);
    if (last) delete last.bytes;
    this.rows.push(...made);
    this.end += bytes.length;
    return [made, replaced];
  }

  /** The exact bytes of a row that is not at its end: a character may be cut there. */
  #tail(bytes, row, before) {
    const length = row.end - row.start;
    if (length <= bytes.length) return bytes.slice(bytes.length - length);
    const whole = new Uint8Array(length);
    whole.set((before.bytes ?? new TextEncoder().encode(before.text)).subarray(0, length - bytes.length));
    whole.set(bytes, length - bytes.length);
    return whole;
  }

  /** Add bytes that come before: from `base`, where a line begins if `atStart`. Returns the new rows. */
  prepend(bytes, base, atStart) {
    const made = cutRows(bytes, base, atStart);
    this.rows.unshift(...made);
    if (this.number) this.number -= countLines(made, this.rows[made.length]);
    this.start = base;
    if (base === 0) this.number = 1;
    return made;
  }

  /** Forget rows at the front, or at the end, until at most `most` are left; returns how many. */
  trim(most, front) {
    const count = Math.max(0, this.rows.length - most);
    if (!count) return 0;
    if (front) {
      const gone = this.rows.splice(0, count);
      if (this.number) this.number += countLines(gone, this.rows[0]);
      this.start = this.rows[0].start;
    } else {
      this.rows.splice(this.rows.length - count, count);
      this.end = this.rows[this.rows.length - 1].end;
    }
    return count;
  }

  /** The number of the line that row `at` belongs to, 0 while it is not known. */
  numbers() {
    const found = [];
    let number = this.number;
    for (let at = 0; at < this.rows.length; at += 1) {
      if (at && this.rows[at].first) number += number ? 1 : 0;
      found.push(number);
    }
    return found;
  }

  /** Which row has byte `offset`, -1 if none has. */
  find(offset) {
    let low = 0;
    let high = this.rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle].end <= offset) low = middle + 1;
      else if (this.rows[middle].start > offset) high = middle - 1;
      else return middle;
    }
    return -1;
  }
}

/** By how much the line's number grows over `rows` until the row `next`. */
function countLines(rows, next) {
  let count = 0;
  for (let at = 1; at < rows.length; at += 1) count += rows[at].first ? 1 : 0;
  return count + (next?.first ? 1 : 0);
}

/** Where a row's text has what is sought: [[begin, end], …]. */
export function findIn(text, sought) {
  const found = [];
  if (!sought || !text) return found;
  for (const one of text.matchAll(sought)) {
    if (one[0]) found.push([one.index, one.index + one[0].length]);
    if (found.length >= 200) break;
  }
  return found;
}

/** An expression for `findIn`; null for nothing, or for what is no expression. */
export function soughtFor(text, { regex = false, matchCase = false } = {}) {
  if (!text) return null;
  try {
    return new RegExp(regex ? text : text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), matchCase ? "gu" : "giu");
  } catch {
    return null;
  }
}

/** "12" or "12-20" as [12, 20]; null for anything else. */
export function parseLines(text) {
  const found = /^(\d{1,15})(?:-(\d{1,15}))?$/.exec(text ?? "");
  if (!found) return null;
  const first = Number(found[1]);
  const last = Number(found[2] ?? found[1]);
  return first > 0 ? [Math.min(first, last), Math.max(first, last)] : null;
}
