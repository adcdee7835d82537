// Pictures of arrays: heat maps of block means, lines, images.
import { chart, token } from "./charts.js";
import { spellNumber } from "./artifact-table.js";

const COLOURS = [[13, 8, 135], [84, 2, 163], [139, 10, 165], [185, 50, 137], [219, 92, 104], [244, 136, 73], [254, 188, 43], [240, 249, 33]];

/** The colour of a share between 0 and 1, the same in light and dark. */
function colour(share) {
  const at = Math.min(1, Math.max(0, share)) * (COLOURS.length - 1);
  const low = Math.floor(at), rest = at - low, high = Math.min(low + 1, COLOURS.length - 1);
  return COLOURS[low].map((part, n) => Math.round(part + (COLOURS[high][n] - part) * rest));
}

function heat({ rows, columns, values, min, max }) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Heat map, ${spellNumber(min)} to ${spellNumber(max)}`);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  values.forEach((value, n) => {
    const [r, g, b] = value === null ? [128, 128, 128] : colour(max > min ? (value - min) / (max - min) : 0.5);
    image.data.set([r, g, b, value === null ? 60 : 255], n * 4);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function scale({ min, max }) {
  const row = document.createElement("div");
  row.className = "scale";
  const bar = heat({ rows: 1, columns: 64, values: Array.from({ length: 64 }, (_, n) => n / 63), min: 0, max: 1 });
  bar.setAttribute("aria-hidden", "true");
  row.append(spellNumber(Number(min.toPrecision?.(4) ?? min)), bar, spellNumber(Number(max.toPrecision?.(4) ?? max)));
  return row;
}

function line({ step, low, high }) {
  const place = document.createElement("div");
  place.className = "chart";
  const x = (n) => n * step;
  chart(place, () => ({
    xAxis: { type: "value", max: x(low.length) },
    yAxis: { type: "value", scale: true },
    tooltip: { trigger: "axis" },
    series: high
      ? [{ name: "lowest", type: "line", showSymbol: false, lineStyle: { width: 1 }, data: low.map((value, n) => [x(n), value]) }, { name: "highest", type: "line", showSymbol: false, lineStyle: { width: 1, color: token("--series-1") }, itemStyle: { color: token("--series-1") }, data: high.map((value, n) => [x(n), value]) }]
      : [{ name: "value", type: "line", showSymbol: low.length < 40, data: low.map((value, n) => [x(n), value]) }],
  }));
  return place;
}

function corner(values, facts) {
  const wide = document.createElement("div");
  wide.className = "wide scrolls";
  wide.tabIndex = 0;
  wide.setAttribute("role", "group");
  wide.setAttribute("aria-label", "Values");
  const table = document.createElement("table");
  table.className = "table dense mono";
  if (facts.columns?.length) {
    const head = table.createTHead().insertRow();
    for (const name of facts.columns) head.append(Object.assign(document.createElement("th"), { textContent: name }));
  }
  const body = table.createTBody();
  for (const row of values) {
    const line = body.insertRow();
    for (const value of row) line.insertCell().textContent = value === null ? "null" : spellNumber(value);
  }
  wide.append(table);
  return wide;
}

function details(title, inner) {
  const made = document.createElement("details");
  made.append(Object.assign(document.createElement("summary"), { textContent: title }), inner);
  return made;
}

function chooser(element, facts) {
  const row = document.createElement("div");
  row.className = "axis-choice line small";
  facts.axes.forEach((length, axis) => {
    const label = document.createElement("label");
    const field = document.createElement("input");
    Object.assign(field, { type: "number", min: 0, max: length - 1, value: facts.at[axis] });
    field.addEventListener("change", async () => {
      const at = facts.at.with(axis, Math.max(0, Math.min(length - 1, Number(field.value))));
      const url = new URL(element.closest("[data-array]").dataset.array, location.href);
      for (const one of at) url.searchParams.append("at", one);
      const response = await fetch(url);
      if (response.ok) draw(element, await response.json());
    });
    label.append(`axis ${axis} `, field, ` of ${length - 1}`);
    row.append(label);
  });
  return row;
}

function draw(element, facts) {
  const parts = [];
  if (facts.at) parts.push(chooser(element, facts));
  if (facts.picture) {
    const image = new Image(facts.picture.width, facts.picture.height);
    image.src = facts.picture.url;
    image.alt = "The array as a picture";
    parts.push(image);
  }
  if (facts.line) parts.push(line(facts.line));
  if (facts.grid) parts.push(heat(facts.grid), scale(facts.grid));
  if (facts.values) parts.push(facts.line || facts.grid ? details(facts.line ? "First values" : "First corner", corner(facts.values, facts)) : corner(facts.values, facts));
  element.replaceChildren(...parts);
}

/** Draw what `element` holds. */
export function showArray(element) {
  draw(element, JSON.parse(element.dataset.drawn));
}
