// Layouts by the shape of their graph: kept in the browser, small ones made at once, others in a worker.

import { estimate, layout, sketch } from "./graph-layout.js";
import { chooseDirection } from "./graph-model.js";

const VERSION = 1; // of what is kept: another one after a change of the layout
const AT_ONCE = 150;
const MOST_KEPT = 16;
const MOST_CHARS = 1 << 20;
const PREFIX = "fairway-layout:";

let worker = null;
let number = 0;
const waiting = new Map();

/** What `layout` needs of a model. `size`: the space there is, which decides the direction. */
export function describe(model, { width, height }) {
  const nodes = model.nodes.map(({ id, w, h, group = "" }) => ({ id, w, h, group }));
  const groups = model.groups.map(({ id, parent = "" }) => ({ id, parent }));
  const edges = model.edges.map(({ from, to }) => [from, to]);
  const plain = { nodes, groups, edges };
  const lay = nodes.length <= AT_ONCE ? layout : estimate;
  const dir = chooseDirection({ right: lay({ ...plain, dir: "right" }), down: lay({ ...plain, dir: "down" }) }, width, height);
  return { ...plain, dir };
}

/**
 * The layout of a drawing, at once if it is known or small, else a sketch of it and a promise.
 * @returns {{layout: object, later: Promise<object> | null}}
 */
export function findLayout(drawing, shape) {
  const key = `${drawing.dir} ${shape}`;
  const known = recall(key);
  if (known) return { layout: known, later: null };
  if (drawing.nodes.length <= AT_ONCE) return { layout: layout(drawing), later: null };
  return { layout: sketch(drawing), later: ask(drawing).then((made) => { keep(key, made); return made; }) };
}

function ask(drawing) {
  if (!worker) {
    worker = new Worker(document.querySelector("[data-layout-worker]").dataset.layoutWorker, { type: "module" });
    worker.onmessage = ({ data }) => {
      waiting.get(data.id)?.(data.layout);
      waiting.delete(data.id);
    };
  }
  number += 1;
  worker.postMessage({ id: number, drawing });
  return new Promise((resolve) => waiting.set(number, resolve));
}

/** A short name for a long key: two independent hashes of 32 bits. */
export function digest(text) {
  let a = 0x811c9dc5, b = 5381;
  for (let n = 0; n < text.length; n += 1) {
    const code = text.charCodeAt(n);
    a = Math.imul(a ^ code, 0x01000193);
    b = (Math.imul(b, 33) + code) | 0;
  }
  return `${(a >>> 0).toString(36)}${(b >>> 0).toString(36)}`;
}

function recall(key) {
  try {
    const text = localStorage.getItem(PREFIX + digest(key));
    const kept = text ? JSON.parse(text) : null;
    return kept?.version === VERSION && kept.key === key ? kept.layout : null;
  } catch {
    return null;
  }
}

function keep(key, made) {
  try {
    const rounded = JSON.stringify({ version: VERSION, key, at: Date.now(), layout: made }, (_, value) => (typeof value === "number" && !Number.isInteger(value) ? Math.round(value) : value));
    if (rounded.length > MOST_CHARS) return;
    const kept = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
    const age = (name) => Number(/"at":(\d+)/.exec(localStorage.getItem(name) ?? "")?.[1] ?? 0);
    kept.sort((a, b) => age(a) - age(b)).slice(0, Math.max(0, kept.length - MOST_KEPT + 1)).forEach((name) => localStorage.removeItem(name));
    localStorage.setItem(PREFIX + digest(key), rounded);
  } catch { /* it is made anew next time */ }
}
