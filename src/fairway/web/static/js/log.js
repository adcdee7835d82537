// The log viewer: a window of rows over a log of any size. It opens at the end, follows what is written, and goes wherever one points.
import { say } from "./app.js";
import { onLive } from "./live.js";
import { LogWindow, parseLines, soughtFor } from "./log-model.js";
import { LogRail } from "./log-rail.js";
import { fillRow, makeRow, numberRow } from "./log-rows.js";
import { LogSearch } from "./log-search.js";
import { equip } from "./log-tools.js";

const CHUNK = 64 << 10;
const WHOLE = 256 << 10; // a log that is no longer is loaded at once
const BURST = 512 << 10; // when more than this came meanwhile, it is not run through but left out
const MOST_ROWS = 3000;
const NEAR = 900; // pixels before the window's end at which more is loaded

export class LogView {
  constructor(element) {
    this.element = element;
    this.run = element.dataset.run;
    this.attempt = element.dataset.attempt;
    this.rank = element.dataset.rank ?? ""; // of a gang
    this.which = new URLSearchParams({ attempt: this.attempt, ...(this.rank && { rank: this.rank }) });
    this.view = element.querySelector(".log-view");
    this.rows = element.querySelector(".log-rows");
    this.endButton = element.querySelector("[data-log-end]");
    this.base = `/runs/${encodeURIComponent(this.run)}/log`;
    this.size = Number(element.dataset.size);
    this.window = new LogWindow();
    this.follow = true;
    this.lines = parseLines(element.dataset.line);
    this.sought = null;
    this.busy = null;
    this.search = new LogSearch(`${this.base}/search?${this.which}`, () => this.showFound());
    this.rail = new LogRail(element.querySelector(".log-rail"), (offset) => this.jump(offset));
    equip(this);
    this.stop = onLive(`log:${this.run}/${this.attempt}${this.rank && `/${this.rank}`}`, (stand) => this.grown(Number(stand)), this.size);
    this.open().finally(() => this.seekEarly());
  }

  get gone() {
    return !this.element.isConnected;
  }

  /** Load the end, or the line that the address names. */
  async open() {
    this.reserve();
    const tail = new TextEncoder().encode(this.element.dataset.tail);
    delete this.element.dataset.tail;
    if (this.lines) return this.goLine(this.lines[0]);
    if (tail.length) {
      this.window.clear(this.size - tail.length);
      this.draw(this.window.append(tail)[0], "end");
      this.toBottom();
    }
    return this.goEnd();
  }

  async fetchBytes(from, to) {
    const response = await fetch(`${this.base}?${this.which}`, { headers: { range: `bytes=${from}-${Math.max(to, from + 1) - 1}` } });
    if (response.status === 416) {
      this.size = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1] ?? 0);
      return new Uint8Array(0);
    }
    if (!response.ok) throw new Error(`the log could not be read (${response.status})`);
    this.size = Math.max(this.size, Number(response.headers.get("x-stream-size") ?? 0));
    return new Uint8Array(await response.arrayBuffer());
  }

  /** One load after another; while one is under way, further wishes are left out. */
  async load(work) {
    if (this.busy) return this.busy;
    this.busy = work().catch((error) => say(error.message, "bad")).finally(() => { this.busy = null; });
    return this.busy;
  }

  async goEnd() {
    this.follow = true;
    await this.busy;
    await this.load(async () => {
      if (this.window.end < this.size || !this.window.rows.length) {
        const from = this.size <= WHOLE ? 0 : this.size - CHUNK;
        const bytes = this.size ? await this.fetchBytes(from, this.size) : new Uint8Array(0);
        this.replace(bytes, from);
      }
      this.toBottom();
    });
    await this.fill();
    this.askNumber();
  }

  /** Load what comes before until the view is full: long lines may have left it nearly empty. */
  async fill() {
    for (let n = 0; n < 16 && this.window.start > 0 && this.rows.scrollHeight < this.view.clientHeight + NEAR; n += 1) {
      await this.extendUp();
      if (this.follow) this.toBottom();
    }
  }

  async goStart() {
    this.follow = false;
    while (this.busy) await this.busy;
    await this.load(async () => {
      if (this.window.start > 0) this.replace(await this.fetchBytes(0, Math.min(this.size, CHUNK)), 0);
      this.view.scrollTop = 0;
    });
  }

  /** Show the window that begins with the first line in `bytes`, which are at `from`. */
  replace(bytes, from, keep = from + bytes.length) {
    let skip = 0;
    if (from > 0) {
      const newline = bytes.indexOf(10);
      if (newline >= 0 && from + newline < keep && newline + 1 < bytes.length) skip = newline + 1;
    }
    this.window.clear(from + skip);
    if (from + skip > 0 && !skip) this.window.rows = [];
    this.rows.textContent = "";
    const [made] = this.window.append(bytes.subarray(skip));
    if (from > 0 && !skip && made.length) made[0].first = false;
    this.draw(made, "end");
    this.settle();
  }

  /** Show byte `offset`; `line` is the number of its line if that is known. */
  async jump(offset, { line = 0, begin = offset, centre = false, at = offset } = {}) {
    this.follow = false;
    await this.busy;
    if (this.window.find(Math.min(at, Math.max(this.size - 1, 0))) < 0) {
      await this.load(async () => {
        const from = Math.max(0, begin - CHUNK / 2);
        const bytes = await this.fetchBytes(from, Math.min(this.size, at + CHUNK));
        this.replace(bytes, from, begin);
        if (line) this.knowNumber(line, at);
      });
    }
    const row = this.window.find(Math.min(at, Math.max(this.size - 1, 0)));
    const target = this.rows.children[Math.max(row, 0)];
    if (target) this.scrollTo(target, centre);
    this.settle();
    if (!this.window.number) this.askNumber();
    return target ?? null;
  }

  scrollTo(target, centre) {
    const top = target.offsetTop - this.rows.offsetTop;
    this.view.scrollTop = centre ? top - Math.max(0, (this.view.clientHeight - target.offsetHeight) / 2) : top;
  }

  /** Bring a part of a row into view: rows may be taller, and longer, than it. */
  reveal(part) {
    const place = part.getBoundingClientRect();
    const frame = this.view.getBoundingClientRect();
    if (place.top < frame.top || place.bottom > frame.bottom) this.view.scrollTop += place.top - frame.top - frame.height / 2;
    if (place.left < frame.left || place.right > frame.right) this.view.scrollLeft += place.left - frame.left - frame.width / 2;
  }

  async goLine(number) {
    const place = await this.place({ line: number });
    if (!place || this.gone) return;
    await this.jump(place.offset, { line: place.line, centre: true });
    this.markLines();
  }

  async place(query) {
    const response = await fetch(`${this.base}/line?${new URLSearchParams([...this.which, ...Object.entries(query)])}`, { headers: { accept: "application/json" } });
    return response.ok ? response.json() : null;
  }

  /** Ask for the number of the window's first line: a long log is counted once for it. */
  async askNumber() {
    if (this.window.number || !this.window.rows.length) return;
    const { start } = this.window;
    const place = await this.place({ offset: start });
    if (place && !this.gone && this.window.start === start && !this.window.number) {
      this.window.number = place.line;
      this.renumber();
    }
  }

  knowNumber(line, offset) {
    const at = this.window.find(offset);
    if (at < 0) return;
    this.window.number = line - this.window.rows.slice(1, at + 1).filter((row) => row.first).length;
    this.renumber();
  }

  renumber() {
    const numbers = this.window.numbers();
    const href = (number) => this.href(number);
    [...this.rows.children].forEach((element, at) => numberRow(element, this.window.rows[at], numbers[at], href));
    this.markLines();
  }

  href(number) {
    const url = new URL(location.href);
    url.searchParams.set("line", number);
    return `${url.pathname}${url.search}`;
  }

  /** Room for the numbers to come, so that nothing moves when they are known. */
  reserve() {
    const digits = Math.max(4, String(Math.ceil(this.size / 70)).length);
    this.element.style.setProperty("--log-digits", `${digits}ch`);
  }

  draw(made, where) {
    const numbers = this.window.numbers();
    const offset = where === "end" ? this.window.rows.length - made.length : 0;
    const href = (number) => this.href(number);
    const elements = made.map((row, at) => makeRow(row, numbers[offset + at], this.sought, href));
    if (where === "end") this.rows.append(...elements);
    else this.rows.prepend(...elements);
    this.markLines();
  }

  async extendDown() {
    await this.load(async () => {
      const bytes = await this.fetchBytes(this.window.end, Math.min(this.size, this.window.end + CHUNK));
      if (!bytes.length) return;
      this.append(bytes);
      this.trim(true);
    });
  }

  append(bytes) {
    const [made, replaced] = this.window.append(bytes);
    if (replaced) this.rows.lastElementChild?.remove();
    this.draw(made, "end");
  }

  async extendUp() {
    await this.load(async () => {
      const to = this.window.start;
      const from = Math.max(0, to - CHUNK);
      const bytes = await this.fetchBytes(from, to);
      if (this.window.start !== to || bytes.length !== to - from) return;
      const newline = from ? bytes.indexOf(10) : -1;
      const skip = newline >= 0 && newline + 1 < bytes.length ? newline + 1 : 0;
      const before = this.rows.scrollHeight;
      const made = this.window.prepend(bytes.subarray(skip), from + skip, from === 0 || skip > 0);
      this.draw(made, "start");
      this.view.scrollTop += this.rows.scrollHeight - before;
      this.trim(false);
    });
  }

  trim(front) {
    const before = this.rows.scrollHeight;
    const count = this.window.trim(MOST_ROWS, front);
    for (let n = 0; n < count; n += 1) (front ? this.rows.firstElementChild : this.rows.lastElementChild)?.remove();
    if (front && count) this.view.scrollTop -= before - this.rows.scrollHeight;
  }

  /** The log has `size` bytes now. */
  async grown(size) {
    if (this.gone) return this.stop();
    if (size < this.size) { // begun again
      this.size = size;
      this.window.clear(0);
      return this.goEnd();
    }
    const atEnd = this.window.end >= this.size;
    this.size = size;
    if (atEnd || this.follow) await this.catchUp();
    this.settle();
    this.search.goOn();
  }

  async catchUp() {
    await this.busy;
    if (this.follow && this.size - this.window.end > BURST) return this.goEnd();
    await this.load(async () => {
      while (this.window.end < this.size) {
        const bytes = await this.fetchBytes(this.window.end, Math.min(this.size, this.window.end + WHOLE));
        if (!bytes.length || this.gone) return;
        this.append(bytes);
        if (!this.follow) break;
        this.trim(true);
        this.toBottom();
      }
    });
  }

  toBottom() {
    this.view.scrollTop = this.view.scrollHeight;
    this.lastTop = this.view.scrollTop;
    this.settle();
  }

  onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.view;
    const below = scrollHeight - scrollTop - clientHeight;
    if (below < 4 && this.window.end >= this.size) this.follow = true;
    else if (scrollTop < (this.lastTop ?? 0)) this.follow = false;
    this.lastTop = scrollTop;
    if (!this.busy) {
      if (scrollTop < NEAR && this.window.start > 0) this.extendUp().then(() => this.settle());
      else if (below < NEAR && this.window.end < this.size) this.extendDown().then(() => this.settle());
    }
    this.settle();
  }

  /** What follows from where the view stands: the rail, the way to the end, the empty state. */
  settle() {
    const [from, to] = this.visible();
    this.rail.show(from, to, this.size, this.search);
    this.endButton.hidden = this.follow || (to >= this.size - 1 && this.window.end >= this.size);
    this.element.querySelector(".log-empty").hidden = this.size > 0 || this.window.rows.length > 0;
  }

  /** Bytes that are to be seen: [from, to]. */
  visible() {
    const rows = this.window.rows;
    if (!rows.length) return [0, 0];
    const top = this.rowAt(this.view.scrollTop);
    const bottom = this.rowAt(this.view.scrollTop + this.view.clientHeight);
    return [rows[top].start, rows[bottom].end];
  }

  rowAt(y) {
    const children = this.rows.children;
    let low = 0;
    let high = children.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (children[middle].offsetTop <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  markLines() {
    if (!this.lines) return;
    const numbers = this.window.numbers();
    [...this.rows.children].forEach((element, at) => {
      element.classList.toggle("is-line", numbers[at] >= this.lines[0] && numbers[at] <= this.lines[1]);
    });
  }

  // --- search

  seek() {
    const q = this.element.querySelector(".log-q").value;
    const asked = { q, case: this.isOn("case"), regex: this.isOn("regex"), stamps: this.isOn("times") };
    this.setSought(soughtFor(q, { regex: asked.regex, matchCase: asked.case }));
    this.settled = false;
    if (q) this.search.start(asked);
    else this.search.clear();
    this.showFound();
  }

  /** What stood in the box before this script was there. */
  seekEarly() {
    if (!this.gone && !this.search.asked && this.element.querySelector(".log-q").value) this.seek();
  }

  setSought(sought) {
    this.sought = sought;
    [...this.rows.children].forEach((element, at) => {
      const row = this.window.rows[at];
      if (element.classList.contains("has-mark") || (sought && row.text.search(sought) >= 0) || (sought && row.text.includes("\x1b"))) fillRow(element, row, sought);
    });
  }

  showFound() {
    const { search, element } = this;
    if (!this.settled && search.asked) {
      const hit = search.settle(this.visible()[0]);
      if (hit) {
        this.settled = true;
        this.goHit(hit);
      }
    }
    element.querySelector(".log-count").textContent = search.text;
    element.querySelector(".log-q").toggleAttribute("aria-invalid", Boolean(search.wrong));
    for (const button of element.querySelectorAll("[data-log-prev], [data-log-next]")) button.disabled = !search.hits.length;
    this.rail.mark(search.hits, this.size);
  }

  stepHit(by) {
    const hit = this.search.step(by);
    if (hit) this.goHit(hit);
    this.showFound();
  }

  async goHit([line, begin, at]) {
    const target = await this.jump(at, { line, begin, at, centre: true });
    for (const one of this.rows.querySelectorAll(".is-hit")) one.classList.remove("is-hit");
    target?.classList.add("is-hit");
    const mark = target?.querySelector("mark");
    if (mark) this.reveal(mark);
  }

  isOn(name) {
    return this.element.querySelector(`[data-log-${name}]`).getAttribute("aria-pressed") === "true";
  }
}
