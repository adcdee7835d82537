// Where a run's time went: phases of attempts, lanes they are packed into, the axis, the chain that decided how long it took. Pure.

import { spellDuration } from "./words.js";

export const PHASES = ["waiting", "starting", "running", "writing"];
export const MOST_LANES = 8;
const ENDS = { waiting: "started_at", starting: "running_at", running: "writing_at", writing: "ended_at" };

/** The phases of a bar: [{phase, from, to}], those without length left out. What has not ended goes on until `now`. */
export function phasesOf(bar, now) {
  const end = bar.ended_at || now;
  const found = [];
  let from = bar.planned_at;
  for (const phase of PHASES) {
    const known = bar[ENDS[phase]];
    const later = PHASES.slice(PHASES.indexOf(phase) + 1, -1).some((other) => bar[ENDS[other]]);
    const reached = known || (later ? from : end); // what failed in this phase was in it until its end
    const to = Math.min(Math.max(reached, from), Math.max(end, from));
    if (to > from) found.push({ phase, from, to });
    from = to;
    if (!known && !later) break;
  }
  return found;
}

/** When a bar begins to take a place: when it started, or when it was planned if it has not. */
function beginOf(bar) {
  return bar.started_at || bar.running_at || bar.planned_at;
}

/**
 * Bars packed into at most MOST_LANES lanes so that none lies on another; `left` counts those that found no place. `shown` is from when on a
 * bar is drawn: its waiting only as far as its lane is free.
 * @returns {{lanes: {bar: object, shown: number}[][], left: number}}
 */
export function packLanes(bars, now, most = MOST_LANES) {
  const lanes = [], ends = [];
  let left = 0;
  for (const bar of [...bars].sort((a, b) => beginOf(a) - beginOf(b) || a.planned_at - b.planned_at)) {
    const begin = beginOf(bar);
    let lane = ends.findIndex((end) => end <= begin + 1e-6);
    if (lane < 0) {
      if (lanes.length >= most) {
        left += 1;
        continue;
      }
      lane = lanes.length;
      lanes.push([]);
      ends.push(-Infinity);
    }
    lanes[lane].push({ bar, shown: Math.max(bar.planned_at, ends[lane]) });
    ends[lane] = bar.ended_at || now;
  }
  return { lanes, left };
}

/** First and last moment of a timeline, with a little room after it. */
export function spanOf(data, now) {
  const began = data.began_at || data.now || 0;
  const end = data.ended_at || Math.max(now, data.now || 0);
  return [began, Math.max(end, began + 0.001)];
}

const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800];

/** Marks of the axis from `from` to `to` (seconds since the start), about `room` pixels apart: [{at, label}]. */
export function ticks(from, to, width, room = 90) {
  const wanted = ((to - from) * room) / Math.max(width, 1);
  const step = STEPS.find((one) => one >= wanted) ?? 604800 * Math.ceil(wanted / 604800);
  const found = [];
  for (let n = Math.ceil(from / step - 1e-9); n * step <= to && found.length < 200; n += 1) found.push({ at: n * step, label: n === 0 ? "0" : spellTick(n * step) });
  return found;
}

function spellTick(seconds) {
  if (seconds < 0) return `−${spellTick(-seconds)}`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.round(seconds * 1000) / 1000} s`;
  return spellDuration(seconds);
}

/**
 * The chain of steps that decided when the run ended: from what ended last back over what it had waited for longest.
 * @param rows of timeline.json; @param edges of graph.json
 * @returns {{id: string, from: number, to: number}[]} each from when the one before had ended
 */
export function longestChain(rows, edges, now) {
  const known = new Map(rows.filter((row) => row.from !== undefined).map((row) => [row.id, { id: row.id, from: row.from, to: row.to ?? now }]));
  const before = new Map();
  for (const { from, to } of edges) if (known.has(from) && known.has(to)) before.set(to, [...(before.get(to) ?? []), known.get(from)]);
  const last = (some) => some.reduce((a, b) => (!a || b.to > a.to ? b : a), null);
  const chain = [], seen = new Set();
  for (let at = last([...known.values()].filter((one) => !isInside(one.id, known))); at && !seen.has(at.id); at = last((before.get(at.id) ?? []).filter((one) => one.to <= at.to))) {
    seen.add(at.id);
    chain.unshift(at);
  }
  return chain.map((one, n) => ({ ...one, from: n ? Math.max(one.from, Math.min(chain[n - 1].to, one.to)) : one.from }));
}

/** Is it a step of what another one made? That one's time holds its time. */
function isInside(id, known) {
  for (let at = id.lastIndexOf("/"); at > 0; at = id.lastIndexOf("/", at - 1)) {
    if (known.has(id.slice(0, at).replace(/\[[\d,]*\]$/, ""))) return true;
  }
  return false;
}

/** What took the time, in words: [{id, share, seconds}] of the chain's longest, sentences about the phases. */
export function explainTime(data, edges, now) {
  const [began, ended] = spanOf(data, now);
  const whole = ended - began;
  const chain = longestChain(data.rows, edges, now);
  const parts = chain.map(({ id, from, to }) => ({ id, seconds: to - from, share: (to - from) / whole })).filter((one) => one.share >= 0.1);
  parts.sort((a, b) => b.seconds - a.seconds);
  const total = PHASES.reduce((all, phase) => all + (data.totals[phase] ?? 0), 0);
  const sentences = [];
  if (total > 0) {
    const share = (phase) => (data.totals[phase] ?? 0) / total;
    if (share("waiting") > 0.5 && data.ended_at) sentences.push(`Tasks spent ${percent(share("waiting"))} of their time waiting for a place to run.`);
    if (share("starting") > 0.1) sentences.push(`${spellDuration(data.totals.starting)} were spent starting.`);
    if (share("writing") > 0.1) sentences.push(`${spellDuration(data.totals.writing)} were spent writing results.`);
  }
  return { chain, parts: parts.slice(0, 3), sentences, whole, total };
}

/** "84%", "<1%", ">99%". */
export function percent(share) {
  if (share > 0 && share < 0.01) return "<1%";
  return share < 1 && share > 0.99 ? ">99%" : `${Math.round(share * 100)}%`;
}

/** What a bar says when it is pointed at: [name, text] pairs. */
export function describeBar(bar, now) {
  const lines = phasesOf(bar, now).map(({ phase, from, to }) => [phase, spellDuration(to - from)]);
  const whole = (bar.ended_at || now) - bar.planned_at;
  return [["state", bar.n > 1 ? `${bar.status}, attempt ${bar.n}` : bar.status], ...(bar.items ? [["tasks", String(bar.items)]] : []), ...lines, ["in all", spellDuration(whole)]];
}

/** Points of the area that says how many ran when: "x y" pairs from the left, closed at the bottom. */
export function loadArea(load, x, height) {
  if (!load.length) return "";
  const most = Math.max(1, ...load.map(([, n]) => n));
  const y = (n) => Math.round((height - (n / most) * (height - 2)) * 10) / 10;
  let path = `M${x(load[0][0])} ${height}`;
  for (const [at, n] of load) path += `L${x(at)} ${y(n)}`;
  return `${path}L${x(load.at(-1)[0])} ${height}Z`;
}
