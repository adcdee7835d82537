// Curves of an attempt: its metrics, and what it used of what it had asked for. Live while it runs.
import { spellDuration } from "./app.js";
import { chart, token } from "./charts.js";
import { whileLive } from "./live.js";

const PAST = 5; // runs before this one whose curves lie behind

/** The JSON at an address of this server. */
export async function fetchJson(url) {
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`the curves could not be read (${response.status})`);
  return response.json();
}

/** A number in few characters. */
export function spellValue(value) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return String(Number(value.toPrecision(5)));
}

/** Powers of a thousand, as the server spells sizes. */
export function spellSize(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let size = bytes / 1000;
  while (size >= 999.5 && units.length > 1) {
    size /= 1000;
    units.shift();
  }
  return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${units[0]}`;
}

/** The next number with one digit that counts, or 2.5 of it. */
function roundUp(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= value) * unit;
}

function lineOptions(points, { log = false, x, y, colour, area = false, limit = null, name }) {
  return {
    legend: { show: false },
    grid: { top: limit ? 20 : 12, right: 14, bottom: 4, left: 4 },
    xAxis: { type: "value", min: "dataMin", max: "dataMax", axisLabel: { formatter: x }, splitLine: { show: false } },
    yAxis: { type: log ? "log" : "value", scale: !area, min: area ? 0 : undefined, max: limit && area ? ({ max }) => roundUp(Math.max(max, limit) * 1.05) : undefined, splitNumber: 3, axisLabel: { formatter: y } },
    tooltip: { trigger: "axis", formatter: ([one]) => `${x(one.value[0])}   ${y(one.value[1])}` },
    series: [{
      name, type: "line", data: log ? points.filter((point) => point[1] > 0) : points, showSymbol: points.length < 3, symbolSize: 5, lineStyle: { width: 1.75 }, itemStyle: { color: colour },
      areaStyle: area ? { opacity: 0.12 } : undefined,
      markLine: limit ? { silent: true, symbol: "none", label: { formatter: `asked: ${y(limit)}`, position: "insideEndTop", color: token("--ink-2"), fontSize: 11 }, lineStyle: { color: token("--warn-fill"), type: "dashed" }, data: [{ yAxis: limit }] } : undefined,
    }],
  };
}

/** A metric: of a gang the mean thick over each rank's line, within the band from the lowest to the highest; those of past runs behind it. */
function metricOptions(item, asked) {
  const { log, x } = asked;
  const options = lineOptions(item.spread?.length ? item.spread.map(([at, mean]) => [at, mean]) : item.points, asked);
  const shown = (points) => (log ? points.filter((point) => point[1] > 0) : points);
  const [series] = options.series;
  if (item.restarts?.length) {
    series.markLine = { silent: true, symbol: "none", label: { formatter: "restart", position: "insideEndTop", color: token("--ink-3"), fontSize: 11 }, lineStyle: { color: token("--line-strong"), type: "dashed" }, data: item.restarts.map(([at]) => ({ xAxis: at })) };
  }
  const past = (item.past ?? []).map(({ run, points }) => ({
    name: `run ${run.slice(run.lastIndexOf("-") + 1)}`, type: "line", data: shown(points), showSymbol: points.length < 2, symbolSize: 4, silent: true, z: 1, lineStyle: { width: 1.25, type: [4, 3], opacity: 0.75 }, itemStyle: { color: token("--line-strong") },
  }));
  const ranks = (item.ranks?.length > 1 ? item.ranks : []).map(({ rank, points }) => ({
    name: `rank ${rank}`, type: "line", data: shown(points), showSymbol: points.length < 2, symbolSize: 3, silent: true, z: 2, lineStyle: { width: 0.8, opacity: 0.55 }, itemStyle: { color: token(`--series-${(rank % 8) + 1}`) },
  }));
  if (!past.length && !ranks.length) return options;
  const [main] = options.series;
  if (ranks.length) Object.assign(main, { name: "mean", z: 4, lineStyle: { width: 2.75 } });
  else main.name = "this run";
  const spell = (list) => [`${x(list[0].value[0])}`, ...list.slice(0, 14).map((one) => `${one.seriesName}  ${asked.y(one.value[1])}`)].join("\n");
  return { ...options, tooltip: { trigger: "axis", formatter: spell }, series: [main, ...ranks, ...past] };
}

/** Metrics of the attempt that `element` names. */
export async function showCurves(element) {
  const { run, attempt, task } = element.dataset;
  const count = Number(element.dataset.ranks ?? 0);
  const grid = element.querySelector(".task-curve-grid");
  const pressed = element.querySelector("[data-past]")?.getAttribute("aria-pressed") === "true";
  const state = { by: "step", log: false, past: pressed ? PAST : 0, items: [] };
  const draw = () => {
    for (const item of state.items) {
      const figure = [...grid.children].find((one) => one.dataset.metric === item.metric) ?? addFigure(grid, item.metric);
      const points = item.spread ?? item.points;
      figure.querySelector(".task-curve-last").textContent = points.length ? spellLast(points[points.length - 1]) : "";
      const x = state.by === "time" ? (value) => spellDuration(value) : (value) => spellValue(value);
      chart(figure.querySelector(".task-curve-chart"), () => metricOptions(item, { log: state.log, x, y: spellValue, colour: token("--series-1"), name: item.metric }));
    }
  };
  const load = async () => {
    const found = await fetchJson(`/runs/${encodeURIComponent(run)}/attempts/${encodeURIComponent(attempt)}/rankcurves.json?by=${state.by}&ranks=${count}&past=${state.past}&task=${encodeURIComponent(task ?? "")}`);
    state.items = found.items;
    draw();
  };
  element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.by) {
      for (const one of element.querySelectorAll("[data-by]")) one.setAttribute("aria-pressed", String(one === button));
      state.by = button.dataset.by;
      load();
    } else if (button.matches("[data-past]")) {
      state.past = state.past ? 0 : PAST;
      button.setAttribute("aria-pressed", String(state.past > 0));
      load();
    } else {
      state.log = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(state.log));
      draw();
    }
  });
  const others = Array.from({ length: Math.min(count, 64) }, (_, rank) => `metrics:${run}/${attempt}/${rank}`);
  await whileLive(element, count ? others : [`metrics:${run}/${attempt}`], load);
}

/** "0.31", of a gang "0.31  (0.28 to 0.34)". */
function spellLast([, value, low, high]) {
  return low === undefined || low === high ? spellValue(value) : `${spellValue(value)} (${spellValue(low)} to ${spellValue(high)})`;
}

function addFigure(grid, metric) {
  const figure = document.createElement("figure");
  figure.className = "task-curve";
  figure.dataset.metric = metric;
  const caption = document.createElement("figcaption");
  const name = document.createElement("span");
  name.className = "mono clip";
  name.textContent = metric;
  const last = document.createElement("span");
  last.className = "value task-curve-last";
  caption.append(name, last);
  const canvas = document.createElement("div");
  canvas.className = "task-curve-chart";
  figure.append(caption, canvas);
  grid.append(figure);
  return figure;
}

/** Memory and CPU of the attempt that `element` names. */
export async function showUsage(element) {
  const { run, attempt, task } = element.dataset;
  const load = async () => {
    const found = await fetchJson(`/runs/${encodeURIComponent(run)}/attempts/${encodeURIComponent(attempt)}/usage.json?task=${encodeURIComponent(task)}`);
    const x = (value) => spellDuration(value);
    const memory = { x, y: spellSize, area: true, limit: found.asked.memory, name: "memory" };
    const cpu = { x, y: spellValue, area: true, limit: found.asked.cpu, name: "cores" };
    chart(element.querySelector("[data-usage-of=memory]"), () => lineOptions(found.memory, { ...memory, colour: token("--series-1") }));
    chart(element.querySelector("[data-usage-of=cpu]"), () => lineOptions(found.cpu, { ...cpu, colour: token("--series-3") }));
  };
  await whileLive(element, [`samples:${run}/${attempt}`], load);
}
