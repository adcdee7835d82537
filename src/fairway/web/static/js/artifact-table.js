// A table that the server reads: pages of rows, sorted and filtered there, with what each column holds drawn into its head.
import { say } from "./app.js";

const PAGE = 200;
const SVG = "http://www.w3.org/2000/svg";

/** Numbers as people read them. */
export function spellNumber(value) {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(3) : String(Number(value.toPrecision(5)));
}

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Bars of counts, as high as they are many. */
export function drawBins(bins, label) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "histogram");
  svg.setAttribute("viewBox", `0 0 ${bins.length} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  const top = Math.max(...bins);
  bins.forEach((count, n) => {
    if (!count) return;
    const height = Math.max((20 * count) / top, 0.6);
    const bar = document.createElementNS(SVG, "rect");
    for (const [key, value] of Object.entries({ x: n + 0.05, width: 0.9, y: 20 - height, height })) bar.setAttribute(key, value);
    svg.append(bar);
  });
  return svg;
}

class Table {
  constructor(element) {
    this.element = element;
    this.rowsUrl = element.dataset.table;
    this.columnsUrl = element.dataset.columns;
    this.offset = 0;
    this.sort = "";
    this.where = new Map();
    this.asked = 0;
    this.whole = location.pathname.startsWith("/artifacts/") && !element.closest(".opened"); // the page is about this table
    if (this.whole) this.recall(new URLSearchParams(location.search));
  }

  recall(query) {
    this.offset = Math.max(0, Number(query.get("offset")) || 0);
    this.sort = /^-?\d+$/.test(query.get("sort") ?? "") ? query.get("sort") : "";
    for (const one of query.getAll("where")) {
      const at = one.indexOf(":");
      if (at > 0) this.where.set(Number(one.slice(0, at)), one.slice(at + 1));
    }
  }

  /** A reload, or whoever gets the address, shall see the same. */
  remember() {
    if (!this.whole) return;
    const url = new URL(location.href);
    for (const name of ["offset", "sort", "where"]) url.searchParams.delete(name);
    if (this.offset) url.searchParams.set("offset", this.offset);
    if (this.sort) url.searchParams.set("sort", this.sort);
    for (const [column, text] of this.where) url.searchParams.append("where", `${column}:${text}`);
    history.replaceState(history.state, "", url);
  }

  async start() {
    const data = await this.fetch();
    if (!data) return;
    this.build(data);
    this.fill(data);
    this.describe();
  }

  url() {
    const url = new URL(this.rowsUrl, location.href);
    url.searchParams.set("offset", this.offset);
    url.searchParams.set("limit", PAGE);
    if (this.sort) url.searchParams.set("sort", this.sort);
    for (const [column, text] of this.where) url.searchParams.append("where", `${column}:${text}`);
    return url;
  }

  async fetch() {
    const turn = ++this.asked;
    this.element.setAttribute("aria-busy", "true");
    try {
      const response = await fetch(this.url(), { headers: { accept: "application/json" } });
      const data = await response.json();
      if (turn !== this.asked) return null;
      this.element.removeAttribute("aria-busy");
      if (!response.ok) throw new Error(data.detail ?? `the server answered ${response.status}`);
      if (data.problem) {
        this.refuse(data);
        return null;
      }
      return data;
    } catch (error) {
      this.element.removeAttribute("aria-busy");
      this.refuse({ problem: error.message });
      return null;
    }
  }

  refuse({ problem, hint, missing }) {
    const text = problem.charAt(0).toUpperCase() + problem.slice(1);
    if (this.note) {
      this.note.textContent = hint ? `${text}: ${hint}` : text;
      this.note.classList.add("wrong");
      return;
    }
    const told = make("div", { class: "message info" }, make("div", {}, make("p", {}, make("strong", {}, text)), hint ? make("p", { class: missing ? "mono" : "quiet" }, hint) : null));
    this.element.replaceChildren(told);
  }

  build(data) {
    this.columns = data.columns;
    this.heads = data.columns.map((column, n) => {
      const sortable = column.kind !== "other";
      const name = make("span", { class: "name", title: column.name }, column.name || "(no name)");
      const about = make("div", { class: "about" });
      const input = make("input", { type: "text", value: this.where.get(n), "aria-label": `Filter ${column.name}`, placeholder: column.kind === "number" ? "> 5, 1..3" : column.kind === "time" ? "2026-01-01.." : column.kind === "bool" ? "true" : "contains", autocomplete: "off", spellcheck: "false", oninput: () => this.filter(n, input.value) });
      const head = make("th", { scope: "col" }, sortable ? make("button", { type: "button", class: "sort", onclick: () => this.sortBy(n) }, name, icon("m4 10 4-4 4 4")) : make("span", { class: "sort" }, name), make("div", { class: "type" }, column.type), about, input);
      return { head, about };
    });
    const corner = make("th", { scope: "col" }, make("span", { class: "visually-hidden" }, "Row"));
    this.body = make("tbody");
    this.caption = make("caption", { class: "visually-hidden" }, data.title || "Rows of the table");
    this.grid = make("div", { class: "cells", tabindex: "0", role: "group", "aria-label": data.title || "Table" }, make("table", {}, this.caption, make("thead", {}, make("tr", {}, corner, ...this.heads.map(({ head }) => head))), this.body));
    this.note = make("span", { role: "status" });
    this.back = make("button", { type: "button", class: "button square", "aria-label": "Earlier rows", onclick: () => this.go(this.offset - PAGE) }, icon("m10 4-4 4 4 4"));
    this.on = make("button", { type: "button", class: "button square", "aria-label": "Later rows", onclick: () => this.go(this.offset + PAGE) }, icon("m6 4 4 4-4 4"));
    this.jump = make("input", { type: "text", inputmode: "numeric", "aria-label": "Go to row", placeholder: "go to row", onchange: () => { const row = Number(this.jump.value.replaceAll(",", "")); this.jump.value = ""; if (row > 0) this.go(Math.floor((row - 1) / PAGE) * PAGE); } });
    this.element.replaceChildren(this.grid, make("div", { class: "foot-bar" }, this.note, make("span", { class: "end" }, this.jump, this.back, this.on)));
    if (data.more_columns) this.element.append(make("p", { class: "small quiet pad" }, `${spellNumber(data.more_columns)} more columns are not shown`));
  }

  fill(data) {
    this.body.replaceChildren(...data.rows.map((row, n) => make("tr", {}, make("th", { scope: "row" }, spellNumber(data.numbers[n] + 1)), ...row.map((value, column) => this.cell(value, this.columns[column])))));
    this.note.classList.remove("wrong");
    this.note.textContent = this.count(data);
    this.back.disabled = this.offset === 0;
    const end = this.offset + data.rows.length;
    this.on.disabled = data.rows.length < PAGE || (data.matched >= 0 && end >= data.matched);
    this.heads.forEach(({ head }, n) => {
      if (this.sort.replace("-", "") === String(n) && this.sort) head.setAttribute("aria-sort", this.sort.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      head.querySelector(".icon path")?.setAttribute("d", head.getAttribute("aria-sort") === "descending" ? "m4 6 4 4 4-4" : "m4 10 4-4 4 4");
    });
  }

  cell(value, column) {
    if (value === null) return make("td", { class: "null" }, "null");
    if (typeof value === "number") return make("td", { class: "num", title: Number.isInteger(value) ? undefined : String(value) }, spellNumber(value));
    const text = String(value);
    return make("td", { class: column.kind === "number" ? "num" : "", title: text.length > 30 ? text : undefined }, text === "" ? "" : text);
  }

  count(data) {
    if (!data.rows.length) return this.where.size ? "No row is like that" : "No rows";
    const total = data.total >= 0 ? spellNumber(data.total) : "";
    const shown = `${spellNumber(this.offset + 1)}–${spellNumber(this.offset + data.rows.length)}`;
    if (!this.where.size && !this.sort) return `Rows ${shown}${total ? ` of ${total}` : ""}`;
    const matched = this.where.size ? ` of ${spellNumber(data.matched)} that fit` : ` of ${total || spellNumber(data.matched)}`;
    const part = data.complete ? "" : `, in the first ${spellNumber(data.looked)} rows${total ? ` of ${total}` : ""}`;
    return `Rows ${shown}${matched}${part}`;
  }

  async refresh(toTop) {
    this.remember();
    const data = await this.fetch();
    if (!data) return;
    this.fill(data);
    if (toTop) this.grid.scrollTop = 0;
  }

  go(offset) {
    this.offset = Math.max(0, offset);
    this.refresh(true);
  }

  sortBy(n) {
    this.sort = this.sort === String(n) ? `-${n}` : this.sort === `-${n}` ? "" : String(n);
    this.offset = 0;
    this.refresh(true);
  }

  filter(n, text) {
    if (text.trim()) this.where.set(n, text.trim());
    else this.where.delete(n);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.offset = 0; this.refresh(true); }, 250);
  }

  async describe() {
    const response = await fetch(this.columnsUrl, { headers: { accept: "application/json" } });
    if (!response.ok) return;
    const data = await response.json();
    if (data.problem) return;
    data.columns.forEach((about, n) => this.heads[n]?.about.replaceChildren(...this.summary(about, this.columns[n])));
    if (data.total >= 0 && data.looked < data.total) say(`Histograms are of ${spellNumber(data.looked)} rows, spread over the table`);
  }

  summary(about, column) {
    const nulls = about.nulls ? `${spellNumber(about.nulls)} null` : "";
    if (about.bins) {
      const told = `${column.name}: ${spellNumber(about.min)} to ${spellNumber(about.max)}${about.mean === undefined ? "" : `, mean ${spellNumber(about.mean)}`}, ${spellNumber(about.distinct)} distinct${nulls ? `, ${nulls}` : ""}`;
      const low = make("span", {}, spellNumber(shorten(about.min))), high = make("span", {}, spellNumber(shorten(about.max)));
      return [Object.assign(drawBins(about.bins, told), {}), make("div", { class: "ends", title: told }, low, high), make("div", { class: "ends" }, make("span", {}, about.mean === undefined ? "" : `mean ${spellNumber(about.mean)}`), make("span", {}, nulls))];
    }
    if (about.top) {
      const many = about.distinct > 50 && about.top[0]?.[1] === 1;
      const first = many ? [] : about.top.slice(0, 2).flatMap(([value, count]) => [make("span", { title: String(value) }, String(value)), make("span", { class: "quiet" }, spellNumber(count))]);
      return [make("div", { class: "most" }, ...first), make("div", { class: "ends" }, make("span", {}, `${spellNumber(about.distinct)} distinct`), make("span", {}, nulls))];
    }
    return [make("div", { class: "ends" }, make("span", {}, nulls))];
  }
}

function shorten(value) {
  return typeof value === "string" ? value.replace(/[T ]00:00:00.*$/, "").slice(0, 16) : value;
}

/** Show the table that `element` names. */
export function showTable(element) {
  new Table(element).start();
}
