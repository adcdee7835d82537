// Runs side by side: curves over each other, all runs along what varies, a scatter of two columns, ROC curves.
import { chart, palette, token } from "./charts.js";
import { isTouched } from "./early.js";
import { onLive } from "./live.js";
import { smoothed, columnOf, isNumeric } from "./series.js";

const body = document.getElementById("compare");
let isFirst = true;

/** @returns {{run: string, short: string, name: string}[]} */
const sides = () => JSON.parse(document.getElementById("compare-runs")?.textContent ?? "[]");
const spellRun = (side) => (side.name ? `${side.short} ${side.name}` : side.short);
const colour = (place) => palette()[place % 8];
const spell = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value ?? "–"));

// ---- curves
let curves = null; // {url, data}: what was read last

async function readCurves(tools) {
  const x = tools.querySelector("input[name=x]:checked").value;
  const url = `${tools.dataset.curves}&x=${x}`;
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok || !tools.isConnected || tools.querySelector("input[name=x]:checked").value !== x) return;
  curves = { x, data: await answer.json() };
  drawCurves(tools);
}

function drawCurves(tools) {
  const place = body.querySelector(".curves");
  const { metrics, more } = curves.data;
  const names = Object.keys(metrics).filter((name) => isCurve(metrics[name]) || tasksOf(metrics[name]).length > 1);
  tools.querySelector("[data-note]").textContent = more ? `${more.toLocaleString("en")} more tasks are not drawn` : "";
  if (!names.length) {
    const said = document.createElement("p");
    said.className = "nothing quiet";
    said.textContent = "No curves: a step draws one with fw.log({\"loss\": …}, step=n).";
    place.replaceChildren(said);
    return;
  }
  const cards = new Map([...place.querySelectorAll(".curve")].map((card) => [card.dataset.metric, card]));
  place.replaceChildren(...names.map((name) => {
    const card = cards.get(name) ?? document.getElementById("curve-card").content.firstElementChild.cloneNode(true);
    card.dataset.metric = name;
    card.querySelector("figcaption").textContent = name;
    return card;
  }));
  for (const card of place.querySelectorAll(".curve")) chart(card.querySelector(".chart"), () => (isCurve(metrics[card.dataset.metric]) ? curveOptions : barOptions)(tools, metrics[card.dataset.metric]));
}

const isCurve = (some) => some.some((one) => one.points.length > 1);
const tasksOf = (some) => [...new Set(some.map((one) => one.task))];

/** Of what each task has logged but once: a bar a run. (What a run has but one of is among its values.) */
function barOptions(tools, some) {
  const tasks = tasksOf(some);
  return {
    grid: { left: 8, right: 16, top: 12, bottom: 8, containLabel: true },
    legend: { show: false },
    tooltip: { trigger: "axis", valueFormatter: spell, axisPointer: { type: "shadow" } },
    xAxis: { type: "category", data: tasks },
    yAxis: { type: tools.querySelector("input[name=log]").checked ? "log" : "value", scale: true },
    series: sides().map((side, place) => ({
      type: "bar", name: spellRun(side), color: colour(place), barMaxWidth: 28, data: tasks.map((task) => some.find((one) => one.run === side.run && one.task === task)?.points[0]?.[1] ?? null),
    })),
  };
}

function curveOptions(tools, some) {
  const weight = Number(tools.querySelector("input[name=smooth]").value);
  const log = tools.querySelector("input[name=log]").checked;
  const known = sides();
  const tasks = new Set(some.map((one) => one.task));
  const series = some.flatMap(({ run, task, points }) => {
    const place = known.findIndex((side) => side.run === run);
    const name = tasks.size > 1 ? `${known[place]?.short} ${task}` : spellRun(known[place] ?? { short: run });
    const shown = log ? points.filter(([, y]) => y > 0) : points;
    const line = { type: "line", name, showSymbol: shown.length < 2, color: colour(place), lineStyle: { width: 1.6 }, emphasis: { focus: "series" }, data: smoothed(shown, weight) };
    return weight ? [{ ...line, name: `${name} (raw)`, lineStyle: { width: 1, opacity: 0.25 }, data: shown, silent: true, tooltip: { show: false } }, line] : [line];
  });
  const shown = series.filter((one) => !one.silent).map((one) => one.name);
  return {
    grid: { left: 8, right: 16, top: tasks.size > 1 && shown.length <= 8 ? 34 : 12, bottom: 22, containLabel: true },
    legend: { show: tasks.size > 1 && shown.length <= 8, data: shown, top: 0, left: 0, itemHeight: 8, itemWidth: 14 },
    tooltip: { trigger: shown.length > 12 ? "item" : "axis", valueFormatter: spell, order: "valueDesc" },
    xAxis: { type: "value", name: curves.x === "time" ? "seconds" : "step", nameLocation: "middle", nameGap: 24, min: "dataMin", max: "dataMax" },
    yAxis: { type: log ? "log" : "value", scale: true },
    series,
  };
}

// ---- all runs along what varies, and two columns against each other
function table() {
  return JSON.parse(document.getElementById("compare-data")?.textContent ?? "null");
}
const bare = (name) => name.replace(/^(param|metric) /, "");

function parallelOptions() {
  const { columns, rows } = table();
  const known = sides();
  const axes = columns.slice(0, 14).map((name, dim) => {
    const values = columnOf(rows, name);
    const title = { dim, name: bare(name), nameTextStyle: { color: token("--ink-2"), width: 110, overflow: "truncate" }, axisLabel: { color: token("--ink-3") } };
    return isNumeric(values) ? { ...title, scale: true } : { ...title, type: "category", data: [...new Set(values.map((value) => String(value ?? "–")))] };
  });
  return {
    parallel: { left: 48, right: 72, top: 40, bottom: 24, parallelAxisDefault: { areaSelectStyle: { width: 18, color: token("--accent"), opacity: 0.2 }, axisLine: { lineStyle: { color: token("--line-strong") } } } },
    parallelAxis: axes,
    legend: { show: false },
    tooltip: { trigger: "item" },
    series: rows.map((row, place) => ({
      type: "parallel", name: spellRun(known[place]), lineStyle: { color: colour(place), width: 2, opacity: 0.75 }, emphasis: { lineStyle: { width: 4, opacity: 1 } }, inactiveOpacity: 0.06,
      data: [axes.map((axis, dim) => { const value = row[columns[dim]]; return axis.type === "category" ? String(value ?? "–") : value ?? NaN; })],
    })),
  };
}

function scatterOptions(x, y) {
  const { rows } = table();
  const known = sides();
  const axis = (name) => {
    const values = columnOf(rows, name);
    return isNumeric(values) ? { type: "value", scale: true, name: bare(name) } : { type: "category", data: [...new Set(values.map((value) => String(value ?? "–")))], name: bare(name) };
  };
  const [across, up] = [axis(x), axis(y)];
  const at = (kind, value) => (kind.type === "category" ? String(value ?? "–") : value);
  return {
    grid: { left: 12, right: 24, top: 32, bottom: 32, containLabel: true },
    legend: { show: false },
    tooltip: { trigger: "item", formatter: ({ seriesName, value }) => `${seriesName}\n${bare(x)}  ${spell(value[0])}\n${bare(y)}  ${spell(value[1])}` },
    xAxis: { ...across, nameLocation: "middle", nameGap: 28 },
    yAxis: { ...up, nameLocation: "end" },
    series: rows.map((row, place) => ({
      type: "scatter", name: spellRun(known[place]), symbolSize: 12, color: colour(place), data: row[x] === undefined || row[y] === undefined ? [] : [[at(across, row[x]), at(up, row[y])]],
      label: { show: rows.length <= 12, formatter: known[place].short, position: "right", color: token("--ink-3") },
    })),
  };
}

function rocOptions(some, wide) {
  const known = sides();
  const parts = new Set(some.map((one) => one.part));
  return {
    grid: { left: 30, right: wide ? 260 : 16, top: wide ? 12 : 36, bottom: 30, containLabel: true },
    legend: wide ? { orient: "vertical", right: 0, top: 8, bottom: 8, width: 240, icon: "circle", itemHeight: 8 } : { top: 0, left: 0, icon: "circle", itemHeight: 8 },
    tooltip: { trigger: "item" },
    xAxis: { type: "value", min: 0, max: 1, name: "false positive rate", nameLocation: "middle", nameGap: 26 },
    yAxis: { type: "value", min: 0, max: 1, name: "true positive rate", nameLocation: "middle", nameGap: 32 },
    series: [
      ...some.map(({ run, part, points }) => {
        const place = known.findIndex((side) => side.run === run);
        const area = points.slice(1).reduce((sum, [x, y], n) => sum + ((x - points[n][0]) * (y + points[n][1])) / 2, 0);
        return { type: "line", name: `${spellRun(known[place] ?? { short: run })}${parts.size > 1 ? ` ${part}` : ""} · area ${area.toFixed(3)}`, showSymbol: false, color: colour(place), data: points, emphasis: { focus: "series" } };
      }),
      { type: "line", data: [[0, 0], [1, 1]], showSymbol: false, silent: true, color: token("--line-strong"), lineStyle: { type: "dashed", width: 1 } },
    ],
  };
}

// ---- what the body holds now
function start() {
  const tools = body.querySelector("[data-curves]");
  if (tools) readCurves(tools);
  const parallel = body.querySelector("[data-chart=parallel]");
  if (parallel) chart(parallel, parallelOptions);
  const scatter = body.querySelector("[data-chart=scatter]");
  if (scatter) startScatter(scatter);
  for (const element of body.querySelectorAll("[data-chart=roc]")) {
    const some = JSON.parse(element.querySelector("script").textContent);
    chart(element, () => rocOptions(some, element.clientWidth > 600));
  }
  follow();
}

function startScatter(element) {
  const { columns } = table();
  const query = new URLSearchParams(location.search);
  const [x, y] = ["sx", "sy"].map((name) => body.querySelector(`select[name=${name}]`));
  const keeps = isFirst ? [x, y].filter(isTouched) : []; // what was chosen before this script was there
  if (!keeps.includes(x)) x.value = columns.includes(query.get("sx")) ? query.get("sx") : columns[0];
  if (!keeps.includes(y)) y.value = columns.includes(query.get("sy")) ? query.get("sy") : columns.find((name) => name.startsWith("metric ") && name !== x.value) ?? columns.at(-1);
  chart(element, () => scatterOptions(x.value, y.value));
}

body.addEventListener("change", (event) => {
  const { name } = event.target;
  if (name === "sx" || name === "sy") {
    const url = new URL(location.href);
    url.searchParams.set(name, event.target.value);
    history.replaceState(null, "", url);
    const [x, y] = ["sx", "sy"].map((one) => body.querySelector(`select[name=${one}]`).value);
    chart(body.querySelector("[data-chart=scatter]"), () => scatterOptions(x, y));
  } else if (name === "x") readCurves(event.target.closest("[data-curves]"));
  else if (name === "log" && curves) drawCurves(event.target.closest("[data-curves]"));
});
body.addEventListener("input", (event) => {
  if (event.target.name !== "smooth") return;
  event.target.nextElementSibling.textContent = event.target.value;
  if (curves) drawCurves(event.target.closest("[data-curves]"));
});

// ---- runs that still go on
let ends = [];
let due = 0;
function follow() {
  for (const end of ends) end();
  ends = [...body.querySelectorAll("[data-running]")].map((side) => onLive(`run:${side.dataset.running}`, () => {
    if (due) return;
    due = setTimeout(() => {
      due = 0;
      const tools = body.querySelector("[data-curves]");
      if (tools) readCurves(tools);
      else window.htmx.ajax("GET", location.pathname + location.search, { target: "#compare", swap: "morph:innerHTML show:none" });
    }, 1000);
  }, isFirst ? 0 : undefined)); // what has happened since the page was made
}

document.addEventListener("htmx:afterSettle", (event) => { if (event.detail.target === body) start(); });
start();
isFirst = false;
