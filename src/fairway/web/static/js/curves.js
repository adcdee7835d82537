// Curves of an attempt: its metrics, and what it used of what it had asked for. Live while it runs.
import { spellDuration } from "./app.js";
import { chart, token } from "./charts.js";
import { onLive } from "./live.js";

const AGAIN_MS = 1000;

async function fetchJson(url) {
  const response = await fetch(url, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`the curves could not be read (${response.status})`);
  return response.json();
}

/** Call `work` on news of `topic`, at most once a second, until `element` is taken out of the page. */
function whileLive(element, topic, work) {
  let waiting = 0;
  const stop = onLive(topic, () => {
    if (!element.isConnected) return stop();
    waiting ||= setTimeout(() => { waiting = 0; work().catch(() => {}); }, AGAIN_MS);
    return undefined;
  });
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

/** Metrics of the attempt that `element` names. */
export async function showCurves(element) {
  const { run, attempt } = element.dataset;
  const grid = element.querySelector(".task-curve-grid");
  const state = { by: "step", log: false, items: [] };
  const draw = () => {
    for (const item of state.items) {
      const figure = [...grid.children].find((one) => one.dataset.metric === item.metric) ?? addFigure(grid, item.metric);
      figure.querySelector(".task-curve-last").textContent = item.points.length ? spellValue(item.points[item.points.length - 1][1]) : "";
      const x = state.by === "time" ? (value) => spellDuration(value) : (value) => spellValue(value);
      chart(figure.querySelector(".task-curve-chart"), () => lineOptions(item.points, { log: state.log, x, y: spellValue, colour: token("--series-1"), name: item.metric }));
    }
  };
  const load = async () => {
    const found = await fetchJson(`/runs/${encodeURIComponent(run)}/attempts/${encodeURIComponent(attempt)}/curves.json?by=${state.by}&points=600`);
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
    } else {
      state.log = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(state.log));
      draw();
    }
  });
  whileLive(element, `metrics:${run}/${attempt}`, load);
  await load();
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
  whileLive(element, `samples:${run}/${attempt}`, load);
  await load();
}
