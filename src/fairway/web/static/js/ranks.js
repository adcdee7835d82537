// The ranks of a gang: their lines merged, and what each used and waited for over time. Live while they run.
import { spellDuration } from "./app.js";
import { chart, palette, token } from "./charts.js";
import { fetchJson, spellSize, spellValue } from "./curves.js";
import { whileLive } from "./live.js";
import { fillRow } from "./log-rows.js";

const HEARD = 64; // ranks whose news are listened to: of a larger gang these stand for all
const LAST = 1000; // lines of all ranks that are asked for at once
const KEPT = 20_000; // lines that stay in the page while the end is watched
const NEAR_PX = 200; // so near the top the lines before are fetched
const USES = {
  rate: ["Steps per second", spellValue],
  waiting: ["Time spent waiting", (value) => `${Math.round(value * 100)}%`],
  cpu: ["CPU cores", spellValue],
  memory: ["Memory", spellSize],
  gpu: ["GPU busy", (value) => `${Math.round(value)}%`],
  gpu_memory: ["GPU memory", spellSize],
};

const COUNTED = ["", spellValue]; // "samples/s" and what else a step counts

/** A colour of a rank: the same one everywhere. */
export function rankColour(rank) {
  return palette()[rank % 8];
}

/** Topics of a stream of all ranks that are listened to. */
export function topicsOf(kind, { run, attempt, ranks }) {
  const count = Math.min(Number(ranks), HEARD);
  return Array.from({ length: count }, (_, rank) => `${kind}:${run}/${attempt}/${rank}`);
}

/** Lines of all ranks in the order of their times, each with its rank; those before them when they are scrolled to. */
export async function showMerged(element) {
  const { run, attempt, ranks } = element.dataset;
  const view = element.querySelector(".log-view");
  const rows = element.querySelector(".log-rows");
  const more = makeMore();
  let shown = []; // [rank, time, text, row], in order
  let since = ""; // all lines from this time on are shown
  let busy = false;
  const ask = (before) => fetchJson(`/runs/${encodeURIComponent(run)}/log/merged?attempt=${encodeURIComponent(attempt)}&ranks=${ranks}&last=${LAST}&before=${encodeURIComponent(before)}`);
  const make = (items) => items.map(([rank, at, text]) => [rank, at, text, makeLine(rank, at, text)]);
  const markMore = (cut, from) => {
    since = from;
    more.hidden = !cut;
  };
  const load = async () => {
    const found = await ask("");
    const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 4;
    const first = !shown.length;
    let at = found.cut ? shown.findIndex((line) => line[1] >= found.since) : 0;
    if (at < 0 || !found.cut) {
      at = 0;
      markMore(found.cut, found.since);
    }
    let same = 0; // what is there already stays: it may be selected
    while (same < found.items.length && at + same < shown.length && found.items[same].every((part, n) => part === shown[at + same][n])) same += 1;
    for (const line of shown.splice(at + same)) line[3].remove();
    const added = make(found.items.slice(same));
    shown.push(...added);
    rows.append(...added.map((line) => line[3]));
    if (atEnd) dropOld();
    element.querySelector(".log-empty").hidden = shown.length > 0;
    if (atEnd || first) view.scrollTop = view.scrollHeight;
  };
  const dropOld = () => {
    if (shown.length <= KEPT) return;
    let begin = shown.length - LAST;
    while (begin > 0 && shown[begin - 1][1] === shown[begin][1]) begin -= 1;
    for (const line of shown.splice(0, begin)) line[3].remove();
    markMore(true, shown[0][1]);
  };
  const loadEarlier = async () => {
    if (busy || more.hidden) return;
    busy = true;
    try {
      const found = await ask(since);
      const height = view.scrollHeight;
      const added = make(found.items);
      shown = [...added, ...shown];
      more.after(...added.map((line) => line[3]));
      markMore(found.cut, found.since);
      view.scrollTop += view.scrollHeight - height;
    } finally {
      busy = false;
    }
  };
  rows.append(more);
  more.addEventListener("click", loadEarlier);
  view.addEventListener("scroll", () => { if (view.scrollTop < NEAR_PX) loadEarlier(); }, { passive: true });
  await whileLive(element, [`log:${run}/${attempt}`, ...topicsOf("log", element.dataset)], load, { every: 300 });
}

function makeMore() {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "log-more";
  button.hidden = true;
  button.textContent = "Show earlier lines";
  return button;
}

function makeLine(rank, at, text) {
  const row = document.createElement("div");
  row.className = "log-row";
  const who = document.createElement("span");
  who.className = "log-rank";
  who.textContent = rank < 0 ? "leader" : String(rank);
  if (rank >= 0) who.style.color = `var(--series-${(rank % 8) + 1})`;
  who.title = at;
  const time = document.createElement("span");
  time.className = "log-time";
  const said = document.createElement("span");
  said.className = "log-text";
  row.append(who, time, said);
  fillRow(row, { first: true, text: at ? `${at} ${text}` : text }, null);
  row.classList.toggle("is-leader", rank < 0);
  return row;
}

/** A chart for each thing that was measured, a line for each rank. */
export async function showUse(element) {
  const { run, attempt, ranks } = element.dataset;
  const load = async () => {
    const found = await fetchJson(`/runs/${encodeURIComponent(run)}/attempts/${encodeURIComponent(attempt)}/rankuse.json?ranks=${ranks}`);
    for (const [use, lines] of Object.entries(found)) {
      if (lines.every((line) => line.points.length < 2)) continue;
      chart(figureOf(element, use).querySelector(".task-curve-chart"), () => useOptions(lines, (USES[use] ?? COUNTED)[1], use));
    }
  };
  await whileLive(element, [...topicsOf("samples", element.dataset), ...topicsOf("progress", element.dataset)], load);
}

function figureOf(grid, use) {
  const known = grid.querySelector(`[data-use="${use}"]`);
  if (known) return known;
  const figure = document.createElement("figure");
  figure.className = "task-curve";
  figure.dataset.use = use;
  const caption = document.createElement("figcaption");
  caption.textContent = USES[use]?.[0] ?? `${use[0].toUpperCase()}${use.slice(1)}`;
  const canvas = document.createElement("div");
  canvas.className = "task-curve-chart";
  figure.append(caption, canvas);
  const order = Object.keys(USES);
  const place = (one) => (one in USES ? order.indexOf(one) : 0.5); // what is worked through a second stands behind the steps
  const after = [...grid.children].find((one) => place(one.dataset.use) > place(use));
  grid.insertBefore(figure, after ?? null);
  return figure;
}

function useOptions(lines, spell, use) {
  return {
    legend: { show: lines.length > 1 && lines.length <= 8, top: 0, right: 0, itemWidth: 10, itemHeight: 6, icon: "roundRect", textStyle: { color: token("--ink-3"), fontSize: 11 } },
    grid: { top: lines.length > 1 && lines.length <= 8 ? 22 : 12, right: 14, bottom: 4, left: 4 },
    xAxis: { type: "value", min: "dataMin", max: "dataMax", axisLabel: { formatter: (value) => spellDuration(value) }, splitLine: { show: false } },
    yAxis: { type: "value", min: 0, max: use === "waiting" ? 1 : use === "gpu" ? 100 : undefined, interval: use === "waiting" ? 0.25 : use === "gpu" ? 25 : undefined, splitNumber: 3, axisLabel: { formatter: spell } },
    tooltip: { trigger: lines.length > 12 ? "item" : "axis", valueFormatter: spell },
    series: lines.map(({ rank, points }) => ({
      name: `rank ${rank}`, type: "line", data: points, showSymbol: points.length < 3, symbolSize: 4, lineStyle: { width: lines.length > 8 ? 1 : 1.5, opacity: lines.length > 8 ? 0.6 : 1 }, itemStyle: { color: rankColour(rank) },
    })),
  };
}
