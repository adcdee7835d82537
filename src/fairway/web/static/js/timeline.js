// The timeline of a run on its page: a row for each step, its attempts as bars of phases; zoomed and moved over the time.

import { svg } from "./graph-draw.js";
import { describeBar, explainTime, loadArea, packLanes, percent, PHASES, phasesOf, spanOf, ticks } from "./timeline-model.js";
import { spellDuration } from "./words.js";

const LEAST_ROW = 22, LANE = 14, BAR = 11, LOAD = 30, EDGE = 6;
const LEAST_SPAN = 0.002;

function make(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** On a laptop nobody tells that an attempt has begun: what was planned runs as soon as a core is free, which is at once more often than not. */
function takeAsRunning(data) {
  const begun = (bar) => (bar.ended_at || bar.started_at || bar.running_at ? bar : { ...bar, status: "running", started_at: bar.planned_at, running_at: bar.planned_at });
  return { ...data, rows: data.rows.map((row) => ({ ...row, bars: row.bars.map(begun) })) };
}

/** How high a row's picture is. */
function heightOf(data, { lanes }) {
  return Math.max(LEAST_ROW, lanes.length * LANE) + (data.load?.length ? LOAD + 4 : 0);
}

export class TimelineView {
  /**
   * @param {HTMLElement} host
   * @param {{address: (task: string) => string, choose: (task: string) => void, local: boolean}} page
   */
  constructor(host, page) {
    this.host = host;
    this.page = page;
    this.rows = new Map();
    this.view = null; // [from, to] in epoch seconds, null for all
    host.append(document.getElementById("timeline-parts").content.cloneNode(true));
    this.parts = Object.fromEntries([...host.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.rows.get(target.dataset.row);
        if (row) { row.seen = isIntersecting; if (isIntersecting && row.stale) this.#drawRow(row); }
      }
    }, { rootMargin: "200px" });
    new ResizeObserver(() => this.draw()).observe(this.parts.axis);
    this.#listen();
  }

  get now() {
    return this.data.ended_at || Math.max(Date.now() / 1000, this.data.now || 0);
  }

  /** Show this timeline.json; `graph`, if it is known, tells what waits for what. */
  setData(data, graph) {
    this.data = this.page.local ? takeAsRunning(data) : data;
    this.graph = graph ?? this.graph;
    this.host.dataset.ready = "true";
    this.#summarise();
    this.#makeRows();
    this.draw();
    if (!data.ended_at && !this.growing) this.#grow();
  }

  /** Bars of what runs grow while they can be seen: a frame is drawn when that is half a pixel. */
  #grow() {
    this.growing = true;
    const frame = () => {
      if (this.data.ended_at) { this.growing = false; return; }
      requestAnimationFrame(frame);
      if (document.hidden || this.host.hidden || !this.width) return;
      const [from, to] = this.range();
      const passed = Date.now() / 1000 - (this.drawnAt ?? 0);
      const enough = Math.max((0.5 * (to - from)) / this.width, this.data.rows.length > 40 || this.data.rows.some((row) => row.bars.length > 100) ? 0.25 : 0.03);
      if (passed >= Math.min(enough, 1)) this.draw();
    };
    requestAnimationFrame(frame);
  }

  range() {
    return this.view ?? spanOf(this.data, this.now);
  }

  x(at) {
    const [from, to] = this.range();
    return EDGE + ((at - from) / (to - from)) * (this.width - 2 * EDGE);
  }

  #summarise() {
    const { totals } = this.data;
    const told = explainTime(this.data, this.graph?.edges ?? [], this.now);
    let at = 0;
    for (const phase of PHASES) {
      const share = told.total ? (totals[phase] ?? 0) / told.total : 0;
      const rect = this.parts.whole.querySelector(`[data-phase="${phase}"]`);
      rect.setAttribute("x", at * 1000);
      rect.setAttribute("width", share * 1000);
      at += share;
      this.parts.legend.querySelector(`[data-phase="${phase}"] .tl-seconds`).textContent = `${spellDuration(totals[phase] ?? 0)} · ${percent(share)}`;
    }
    const words = [];
    told.parts.forEach(({ id, seconds, share }, n) => {
      const link = make("a", "mono", id);
      link.href = this.page.address(id);
      link.dataset.taskLink = id;
      words.push(...(n ? [", "] : []), link, ` took ${percent(share)} of the time (${spellDuration(seconds)})`);
    });
    if (words.length) words.push(". ");
    words.push(told.sentences.join(" "));
    this.parts.words.replaceChildren(...words);
    this.chain = new Set(told.chain.map((one) => one.id));
    this.parts.left.textContent = this.data.rows_left ? `${this.data.rows_left.toLocaleString("en")} further steps are not shown.` : "";
  }

  #makeRows() {
    const wanted = new Set(this.data.rows.map((row) => row.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      this.seen.unobserve(row.element);
      row.element.remove();
      this.rows.delete(id);
    }
    let before = null;
    for (const data of this.data.rows) {
      const row = this.rows.get(data.id) ?? this.#makeRow(data);
      row.data = data;
      row.stale = true;
      row.element.dataset.state = data.status;
      row.element.classList.toggle("in-chain", this.chain.has(data.id));
      const total = Object.values(data.counts).reduce((a, b) => a + b, 0);
      row.note.textContent = data.from && data.to ? spellDuration(data.to - data.from) : data.status;
      row.told.textContent = `${data.status}${total > 1 ? `, ${total.toLocaleString("en")} tasks` : ""}`;
      const place = before ? before.nextSibling : this.parts.rows.firstChild;
      if (place !== row.element) this.parts.rows.insertBefore(row.element, place);
      before = row.element;
    }
  }

  #makeRow(data) {
    const element = make("div", "tl-row");
    element.dataset.row = data.id;
    const link = make("a", "tl-name");
    link.href = this.page.address(data.id);
    link.dataset.taskLink = data.id;
    const dot = make("span", "tl-dot");
    const note = make("span", "tl-note quiet");
    const told = make("span", "visually-hidden");
    link.append(dot, make("span", "tl-label clip", data.label), note, " ", told);
    link.title = data.label;
    const picture = svg("svg", { class: "tl-bars", "aria-hidden": "true" });
    element.append(link, picture);
    const row = { element, picture, note, told, data, stale: true, seen: false, height: heightOf(data, packLanes(data.bars, this.now)) };
    picture.setAttribute("height", row.height); // before it is drawn: nothing below it moves then
    this.rows.set(data.id, row);
    this.seen.observe(element);
    return row;
  }

  /** Draw the axis and all rows that are to be seen; others when they come into view. */
  draw() {
    if (!this.data || this.host.hidden) return;
    this.width = this.parts.axis.clientWidth;
    if (!this.width) return;
    this.drawnAt = Date.now() / 1000;
    const [from, to] = this.range();
    const began = this.data.began_at;
    this.marks = ticks(from - began, to - began, this.width);
    this.parts.axis.replaceChildren(...this.marks.flatMap(({ at, label }) => {
      const x = this.x(began + at);
      const text = svg("text", { x: x + 4, y: 14 });
      text.textContent = label;
      return [svg("line", { x1: x, x2: x, y1: 18, y2: 24 }), text];
    }));
    this.parts.all.hidden = !this.view;
    for (const row of this.rows.values()) {
      row.stale = true;
      if (row.seen) this.#drawRow(row);
    }
  }

  #drawRow(row) {
    if (!this.width) return;
    row.stale = false;
    const { data, picture } = row;
    const now = this.now;
    const [from, to] = this.range();
    const packed = packLanes(data.bars, now);
    const { lanes, left } = packed;
    const many = data.load?.length || left;
    const height = heightOf(data, packed);
    const inset = Math.max(0, (LEAST_ROW - lanes.length * LANE) / 2);
    if (row.height !== height) { picture.setAttribute("height", height); row.height = height; }
    const began = this.data.began_at;
    const parts = this.marks.map(({ at }) => svg("line", { class: "tl-grid", x1: this.x(began + at), x2: this.x(began + at), y1: 0, y2: height }));
    lanes.forEach((lane, n) => {
      let drawn = -1; // bars that are narrower than a pixel are drawn once for each pixel
      for (const { bar, shown } of lane) {
        const end = bar.ended_at || now;
        if (end < from || shown > to) continue;
        const right = this.x(end);
        if (right - this.x(shown) < 1 && right <= drawn && bar.status !== "failed") continue;
        drawn = Math.max(drawn, Math.floor(right) + 1);
        parts.push(this.#drawBar(bar, shown, now, inset + n * LANE + (LANE - BAR) / 2));
      }
    });
    const space = Math.max(LEAST_ROW, lanes.length * LANE);
    for (const mark of data.marks ?? []) parts.push(...this.#drawMark(mark, LEAST_ROW / 2));
    if (many && data.load?.length) parts.push(svg("path", { class: "tl-load", d: loadArea(data.load, (at) => Math.round(this.x(at) * 10) / 10, LOAD), transform: `translate(0 ${space + 2})` }));
    picture.replaceChildren(...parts);
    const more = (data.more ?? 0) + left;
    row.note.dataset.more = more ? `+${more.toLocaleString("en")}` : "";
    if (more) row.element.title = `${more.toLocaleString("en")} more attempts; the area below says how many ran when`;
  }

  #drawBar(bar, shown, now, y) {
    const link = svg("a", { class: "tl-bar", href: this.page.address(bar.task), tabindex: "-1", "data-bar": bar.attempt, "data-state": bar.status });
    const phases = phasesOf(bar, now);
    const right = this.x(bar.ended_at || now);
    const clamp = (x) => Math.min(this.width + 10, Math.max(-10, x));
    let ran = false;
    for (const { phase, from, to } of phases) {
      if (to <= shown) continue;
      const x0 = clamp(this.x(Math.max(from, shown))), x1 = clamp(this.x(to));
      const least = phase === "running" ? 2 : 0;
      if (x1 - x0 < 0.3 && !least) continue;
      if (phase === "running") ran = true;
      const [dy, h] = { waiting: [BAR / 2 - 1.5, 3], starting: [2, BAR - 4], running: [0, BAR], writing: [0, BAR] }[phase];
      link.append(svg("rect", { class: `tl-${phase}`, x: x0, y: y + dy, width: Math.max(x1 - x0, least), height: h, rx: phase === "running" ? Math.min(2, (x1 - x0) / 2) : 0 }));
    }
    if (!ran && bar.ended_at) link.append(svg("rect", { class: "tl-running", x: clamp(right) - 1, y, width: 2, height: BAR })); // too short for a length
    if (bar.status === "failed" || bar.status === "lost") link.append(svg("path", { class: "tl-cross", d: "M-3 -3 3 3M3 -3 -3 3", transform: `translate(${clamp(right) + 5} ${y + BAR / 2})` }));
    link.bar = bar;
    return link;
  }

  #drawMark({ status, count, at }, y) {
    const x = Math.min(this.x(at), this.width - 14);
    const text = svg("text", { class: "tl-mark-text", x: x > this.width - 110 ? x - 8 : x + 9, y: y + 4, "text-anchor": x > this.width - 110 ? "end" : "start" });
    text.textContent = count > 1 ? `${status} ${count.toLocaleString("en")}` : status;
    return [svg("path", { class: "tl-mark", "data-state": status, d: "M0 -4.5 4.5 0 0 4.5 -4.5 0Z", transform: `translate(${x} ${y})` }), text];
  }

  choose(task) {
    const step = task.replace(/\[[\d,]*\]$/, "");
    for (const [id, { element }] of this.rows) element.classList.toggle("chosen", id === task || id === step);
  }

  #zoom(by, at) {
    const [from, to] = this.range();
    const middle = at ?? (from + to) / 2;
    const [first, last] = spanOf(this.data, this.now);
    const span = Math.min(Math.max((to - from) * by, LEAST_SPAN), last - first);
    this.#look(middle - ((middle - from) * span) / (to - from), span);
  }

  #look(from, span) {
    const [first, last] = spanOf(this.data, this.now);
    const begin = Math.max(first, Math.min(from, last - span));
    this.view = span >= (last - first) * 0.999 ? null : [begin, begin + span];
    this.#soon();
  }

  #soon() {
    this.pending ||= requestAnimationFrame(() => { this.pending = 0; this.draw(); });
  }

  #timeAt(event) {
    const box = this.parts.axis.getBoundingClientRect();
    const [from, to] = this.range();
    return from + ((event.clientX - box.left - EDGE) / (this.width - 2 * EDGE)) * (to - from);
  }

  #listen() {
    const { host, parts } = this;
    host.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      if (!this.data || (!event.ctrlKey && !event.metaKey && !sideways)) return;
      event.preventDefault();
      const [from, to] = this.range();
      if (sideways) this.#look(from + (((event.deltaX || event.deltaY) / this.width) * (to - from)), to - from);
      else this.#zoom(Math.exp(event.deltaY * 0.004), this.#timeAt(event));
    }, { passive: false });
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("click", (event) => {
      const tool = event.target.closest?.("[data-zoom]")?.dataset.zoom;
      const bar = event.target.closest?.(".tl-bar");
      if (tool === "all") { this.view = null; this.draw(); } else if (tool) this.#zoom(tool === "in" ? 0.6 : 1 / 0.6);
      else if (bar && this.moved) event.preventDefault();
      else if (bar && !event.metaKey && !event.ctrlKey) {
        event.preventDefault();
        this.page.choose(bar.bar.task);
      }
    });
    host.addEventListener("pointerover", (event) => this.#tell(event.target.closest?.(".tl-bar"), event));
    host.addEventListener("focusin", (event) => this.#tell(event.target.closest?.(".tl-bar")));
    host.addEventListener("pointerleave", () => this.#tell(null));
    this.#brush(parts.axis);
    this.#drag(parts.rows);
  }

  /** On the axis: choose a part of the time by dragging over it. */
  #brush(axis) {
    let start = null;
    axis.addEventListener("pointerdown", (event) => { start = event.clientX; axis.setPointerCapture(event.pointerId); });
    axis.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const left = axis.getBoundingClientRect().left;
      let box = axis.querySelector(".tl-brush");
      if (!box) { box = svg("rect", { class: "tl-brush", y: 0, height: 24 }); axis.append(box); }
      box.setAttribute("x", Math.min(start, event.clientX) - left);
      box.setAttribute("width", Math.abs(event.clientX - start));
    });
    axis.addEventListener("pointerup", (event) => {
      if (start !== null && Math.abs(event.clientX - start) > 4) {
        const a = this.#timeAt({ clientX: start }), b = this.#timeAt(event);
        this.#look(Math.min(a, b), Math.max(Math.abs(b - a), LEAST_SPAN));
      } else axis.querySelector(".tl-brush")?.remove();
      start = null;
    });
    axis.addEventListener("dblclick", () => { this.view = null; this.draw(); });
  }

  /** On the rows: move along the time, once it is zoomed. */
  #drag(rows) {
    let last = null;
    rows.addEventListener("pointerdown", (event) => {
      this.moved = false;
      if (this.view && event.button === 0 && event.target.closest(".tl-bars")) last = event.clientX;
    });
    rows.addEventListener("pointermove", (event) => {
      if (last === null || (!this.moved && Math.abs(event.clientX - last) < 4)) return;
      this.moved = true;
      const [from, to] = this.range();
      this.#look(from - ((event.clientX - last) / this.width) * (to - from), to - from);
      last = event.clientX;
    });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) rows.addEventListener(end, () => { last = null; });
    rows.addEventListener("dragstart", (event) => event.preventDefault());
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const bar = event.target.closest?.(".tl-bar");
    const name = event.target.closest?.(".tl-name");
    const [from, to] = this.range();
    if (event.key === "+" || event.key === "=") this.#zoom(0.6);
    else if (event.key === "-") this.#zoom(1 / 0.6);
    else if (event.key === "0") { this.view = null; this.draw(); }
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const row = event.target.closest?.(".tl-row");
      const next = row && (event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling);
      if (!next) return;
      next.querySelector(".tl-name").focus();
    } else if (name && event.key === "ArrowRight") name.parentElement.querySelector(".tl-bar")?.focus();
    else if (bar && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
      const all = [...bar.ownerSVGElement.querySelectorAll(".tl-bar")];
      const next = all[all.indexOf(bar) + (event.key === "ArrowRight" ? 1 : -1)];
      (next ?? (event.key === "ArrowLeft" ? bar.closest(".tl-row").querySelector(".tl-name") : bar)).focus();
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") this.#look(from + ((event.key === "ArrowRight" ? 1 : -1) * (to - from)) / 5, to - from);
    else return;
    event.preventDefault();
  }

  #tell(link, event) {
    const tip = this.parts.tip;
    if (!link?.bar) { tip.hidden = true; return; }
    const list = make("dl", "tl-tip-list");
    for (const [name, text] of describeBar(link.bar, this.now)) list.append(make("dt", "", name), make("dd", "", text));
    tip.replaceChildren(make("strong", "mono", link.bar.task), list);
    tip.hidden = false;
    const home = this.host.getBoundingClientRect(), box = link.getBoundingClientRect();
    const x = (event ? event.clientX : box.left) - home.left, y = box.bottom - home.top + 6;
    tip.style.left = `${Math.max(0, Math.min(x + 10, home.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y + tip.offsetHeight > home.height && box.top - home.top > tip.offsetHeight ? box.top - home.top - tip.offsetHeight - 6 : y}px`;
  }
}
