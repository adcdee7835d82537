// JSON as a tree: only what is open and in view is in the page, so that ten megabytes stay quick.

import { find, isHolder, parse, pathOf } from "./json-model.js";

const ROW = 24; // px, as in artifacts.css
const HITS = 1000; // as in json-model.js
const AROUND = 20; // rows kept ready above and below

class Tree {
  constructor(element, value) {
    this.element = element;
    this.root = { key: "", value, depth: 0, path: "", open: true };
    this.found = new Set();
    this.at = -1;
    this.build();
    this.lay();
  }

  build() {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "find a key or a value";
    field.setAttribute("aria-label", "Find in the JSON");
    field.addEventListener("keydown", (event) => { if (event.key === "Enter") this.next(event.shiftKey ? -1 : 1); });
    field.addEventListener("input", () => { clearTimeout(this.timer); this.timer = setTimeout(() => this.search(field.value), 200); });
    this.note = document.createElement("span");
    this.note.className = "small quiet";
    this.note.setAttribute("role", "status");
    const fold = this.button("Fold all", () => { this.root.children = undefined; this.lay(); });
    const bar = document.createElement("div");
    bar.className = "bar";
    bar.append(field, fold, this.note);
    this.view = document.createElement("div");
    this.view.className = "nodes";
    this.view.tabIndex = 0;
    this.view.setAttribute("role", "tree");
    this.view.setAttribute("aria-label", "JSON");
    this.space = document.createElement("div");
    this.view.append(this.space);
    this.view.addEventListener("scroll", () => this.draw(), { passive: true });
    this.view.addEventListener("keydown", (event) => this.press(event));
    this.view.addEventListener("click", (event) => this.click(event));
    this.element.replaceChildren(bar, this.view);
  }

  button(text, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button bare";
    button.textContent = text;
    button.addEventListener("click", act);
    return button;
  }

  children(node) {
    if (node.children) return node.children;
    const { value, depth, path } = node;
    const listed = Array.isArray(value);
    const entries = listed ? value.map((inner, n) => [n, inner]) : Object.entries(value);
    node.children = entries.map(([key, inner]) => ({ key, value: inner, depth: depth + 1, path: pathOf(path, key, listed), open: false, parent: node, listed }));
    return node.children;
  }

  /** The rows that are open, in order. */
  lay() {
    const rows = [];
    const stack = [this.root];
    while (stack.length) {
      const node = stack.pop();
      rows.push(node);
      if (node.open && isHolder(node.value)) {
        const inner = this.children(node);
        for (let n = inner.length - 1; n >= 0; n--) stack.push(inner[n]);
      }
    }
    this.rows = rows;
    this.space.style.height = `${rows.length * ROW}px`;
    this.space.style.position = "relative";
    this.draw();
  }

  draw() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - AROUND);
    const last = Math.min(this.rows.length, Math.ceil((this.view.scrollTop + (this.view.clientHeight || 576)) / ROW) + AROUND);
    this.space.replaceChildren(...this.rows.slice(first, last).map((node, n) => this.row(node, first + n)));
  }

  row(node, number) {
    const row = document.createElement("div");
    row.className = `node${this.found.has(node) ? " found" : ""}`;
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", node.depth + 1);
    row.dataset.number = number;
    row.style.position = "absolute";
    row.style.top = `${number * ROW}px`;
    row.style.height = `${ROW}px`;
    row.style.left = `${node.depth * 18}px`;
    const holds = isHolder(node.value);
    if (holds) row.setAttribute("aria-expanded", node.open);
    const twist = document.createElement("span");
    twist.className = "twist";
    twist.textContent = holds ? (node.open ? "▾" : "▸") : "";
    row.append(twist);
    if (node.parent) row.append(span("key", `${node.key}`), span("sum", ":"));
    row.append(...this.value(node));
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "copy";
    copy.dataset.copy = node.path || "$";
    copy.textContent = "copy path";
    copy.tabIndex = -1;
    row.append(copy);
    return row;
  }

  value({ value, open }) {
    if (Array.isArray(value)) return [span("sum", open ? `[ ${count(value.length, "item")}` : `[ … ] ${count(value.length, "item")}`)];
    if (value && typeof value === "object") {
      const keys = Object.keys(value);
      return [span("sum", open ? `{ ${count(keys.length, "key")}` : `{ ${keys.slice(0, 5).join(", ")}${keys.length > 5 ? ", …" : ""} }`)];
    }
    if (typeof value === "string") return [span("str", JSON.stringify(value.length > 500 ? `${value.slice(0, 500)}…` : value))];
    return [span(typeof value === "number" ? "num" : "word", String(value))];
  }

  click(event) {
    if (event.target.closest("[data-copy]")) return;
    const row = event.target.closest(".node");
    if (row) this.toggle(this.rows[Number(row.dataset.number)]);
  }

  toggle(node) {
    if (!isHolder(node.value)) return;
    node.open = !node.open;
    this.lay();
  }

  press(event) {
    if (event.target !== this.view) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      this.at = Math.max(0, Math.min(this.rows.length - 1, this.at + step));
      this.show(this.at);
    } else if (["ArrowRight", "ArrowLeft", "Enter"].includes(event.key) && this.rows[this.at]) {
      const node = this.rows[this.at];
      if (event.key === "Enter" || node.open === (event.key === "ArrowLeft")) this.toggle(node);
      this.show(this.at);
    } else return;
    event.preventDefault();
  }

  show(number) {
    const top = number * ROW;
    if (top < this.view.scrollTop || top > this.view.scrollTop + this.view.clientHeight - 2 * ROW) this.view.scrollTop = Math.max(0, top - this.view.clientHeight / 2);
    this.found = new Set([this.rows[number]]);
    this.draw();
  }

  search(text) {
    this.hits = text ? find(this.root.value, text) : [];
    this.hit = -1;
    this.next(1);
  }

  /** The node at the end of these keys; all above it are opened. */
  reach(keys) {
    let node = this.root;
    for (const key of keys) {
      node.open = true;
      node = this.children(node).find((one) => one.key === key);
    }
    return node;
  }

  next(step) {
    if (!this.hits?.length) {
      this.note.textContent = this.hits && this.element.querySelector("input").value ? "not found" : "";
      this.found = new Set();
      this.draw();
      return;
    }
    this.hit = (this.hit + step + this.hits.length) % this.hits.length;
    const node = this.reach(this.hits[this.hit]);
    this.lay();
    this.at = this.rows.indexOf(node);
    this.show(this.at);
    this.note.textContent = `${this.hit + 1} of ${this.hits.length}${this.hits.length === HITS ? "+" : ""} (Enter: next)`;
  }
}

function count(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

function span(kind, text) {
  const made = document.createElement("span");
  made.className = kind;
  made.textContent = text;
  return made;
}

/** Show the JSON at the address that `element` names. */
export async function showJson(element) {
  const limit = 64e6;
  if (Number(element.dataset.size) > limit) {
    element.textContent = "This is too large to be shown as a tree; download it.";
    return;
  }
  try {
    const response = await fetch(element.dataset.json);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    new Tree(element, parse(await response.text()));
  } catch (error) {
    element.textContent = `This cannot be shown as a tree: ${error.message}`;
  }
}
