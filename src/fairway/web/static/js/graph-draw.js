// Draws a graph as SVG and keeps what is drawn up to date in place: nodes as cards, groups as frames, edges as curves.

import { shareDone, spellNote, spellWhole } from "./graph-model.js";

const SVG = "http://www.w3.org/2000/svg";
const RING = 2 * Math.PI * 13;

export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

let ruler = null;
const measured = new Map();

/** The text, cut so that it is no wider than `room` pixels. `weight`: of the font. */
export function clip(text, room, weight = 400, size = 13) {
  const key = `${weight} ${size} ${room} ${text}`;
  if (measured.has(key)) return measured.get(key);
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  let found = text;
  if (ruler.measureText(text).width > room) {
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (ruler.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    found = `${text.slice(0, low).trimEnd()}…`;
  }
  if (measured.size > 5000) measured.clear();
  measured.set(key, found);
  return found;
}

/** The path of an edge, or of its part from one of its points to another: bends between ranks, is straight along them. */
export function curve(points, across, first = 0, last = points.length / 2 - 1) {
  if (points.length < 4) return "";
  let path = `M${round(points[2 * first])} ${round(points[2 * first + 1])}`;
  for (let n = first + 1; n <= last; n += 1) {
    const x0 = points[2 * n - 2], y0 = points[2 * n - 1], x = points[2 * n], y = points[2 * n + 1];
    if (n % 2 === 0 || (across ? y === y0 : x === x0)) path += `L${round(x)} ${round(y)}`;
    else if (across) path += `C${round((x0 + x) / 2)} ${round(y0)} ${round((x0 + x) / 2)} ${round(y)} ${round(x)} ${round(y)}`;
    else path += `C${round(x0)} ${round((y0 + y) / 2)} ${round(x)} ${round((y0 + y) / 2)} ${round(x)} ${round(y)}`;
  }
  return path;
}

function round(value) {
  return Math.round(value * 10) / 10;
}

/** Paths of the icons of states, out of the page's template: the server has them. */
function stateIcons() {
  const found = {};
  for (const badge of document.getElementById("state-icons").content.querySelectorAll("[data-state]")) found[badge.dataset.state] = badge.querySelector("path").getAttribute("d");
  return found;
}

export class Drawing {
  /** @param {(id: string) => string} address of the page with this node chosen */
  constructor(address) {
    this.address = address;
    this.icons = stateIcons();
    this.frames = svg("g", { class: "g-groups" });
    this.lines = svg("g", { class: "g-edges" });
    this.cards = svg("g", { class: "g-nodes" });
    this.root = svg("g", { class: "g-root" }, this.frames, this.lines, this.cards);
    this.nodes = new Map(); // id -> {node, box, element (null while it is out of sight)}
    this.groups = new Map();
    this.edges = []; // {edge, points, box, element}
    this.kept = new Set(); // ids that stay in the page when they are out of sight
    this.marks = { chosen: "", near: null };
  }

  /** Show the model in these places; nodes that are there already move to theirs. `seen`: the part in sight, null for all. */
  show(model, layout, across, seen = null) {
    this.across = across;
    const wanted = new Map(model.nodes.map((node) => [node.id, node]));
    for (const [id, one] of this.nodes) {
      if (wanted.has(id) && Boolean(one.node.fold) === Boolean(wanted.get(id).fold)) continue;
      one.element?.remove();
      this.nodes.delete(id);
    }
    for (const node of model.nodes) {
      const known = this.nodes.get(node.id) ?? { node, element: null };
      const at = layout.nodes[node.id] ?? [0, 0];
      known.box = [...at, node.w, node.h];
      this.nodes.set(node.id, known);
      if (known.element) moveTo(known.element, at);
    }
    this.#showGroups(model, layout);
    for (const one of this.edges) one.element?.remove();
    this.edges = model.edges.map((edge, n) => ({ edge, element: null, ...boxOf(layout.edges[n] ?? []) }));
    this.see(seen);
    this.patch(model);
  }

  /** New states in the same places. */
  patch(model, now = Date.now() / 1000) {
    for (const node of model.nodes) {
      const known = this.nodes.get(node.id);
      if (known) known.node = node;
      if (known?.element) this.#write(known, now);
    }
    for (const group of model.groups) {
      const known = this.groups.get(group.id);
      if (known && known.element.dataset.state !== group.status) known.element.dataset.state = group.status;
    }
    model.edges.forEach((edge, n) => {
      const known = this.edges[n];
      if (!known) return;
      known.edge = edge;
      if (known.element && known.element.dataset.state !== edge.state) known.element.dataset.state = edge.state;
    });
  }

  /** What runs has run longer by now. */
  tick(now = Date.now() / 1000) {
    for (const known of this.nodes.values()) if (known.element && (known.node.status === "running" || known.node.status === "retrying")) this.#write(known, now);
  }

  /** The element of a node, made if need be; it stays until it is out of sight. */
  elementOf(id) {
    const known = this.nodes.get(id);
    if (!known) return null;
    if (!known.element) {
      known.element = this.#makeNode(known);
      this.cards.append(known.element);
      this.#write(known, Date.now() / 1000);
      this.#markNode(id, known.element);
    }
    return known.element;
  }

  /** Only what is in this part of the drawing is in the page: [x, y, width, height], null for all, an empty part for nothing. */
  see(part) {
    const inside = part ? ([x, y, w, h]) => x < part[0] + part[2] && y < part[1] + part[3] && x + w > part[0] && y + h > part[1] : () => true;
    const added = document.createDocumentFragment();
    for (const [id, known] of this.nodes) {
      const wanted = inside(known.box) || this.kept.has(id);
      if (wanted && !known.element) {
        known.element = this.#makeNode(known);
        this.#write(known, Date.now() / 1000);
        this.#markNode(id, known.element);
        added.append(known.element);
      } else if (!wanted && known.element && known.element !== document.activeElement) {
        known.element.remove();
        known.element = null;
      }
    }
    this.cards.append(added);
    const lines = document.createDocumentFragment();
    for (const known of this.edges) {
      const { points } = known;
      const run = points.length < 4 || !inside(known.box) ? null : part ? partInSight(points, part) : [0, points.length / 2 - 1];
      if (!run) {
        known.element?.remove();
        known.element = null;
        continue;
      }
      const [first, last] = run;
      if (!known.element) {
        known.element = svg("path", { class: "g-edge", "data-state": known.edge.state });
        known.drawn = "";
        this.#markEdge(known);
        lines.append(known.element);
      }
      if (known.drawn === `${first} ${last}`) continue;
      known.drawn = `${first} ${last}`;
      known.element.setAttribute("d", curve(points, this.across, first, last));
      if (last === points.length / 2 - 1) known.element.setAttribute("marker-end", "url(#g-arrow)");
      else known.element.removeAttribute("marker-end");
    }
    this.lines.append(lines);
  }

  /** Which node is chosen, and which (a set of ids, null for none) stand out from the others. */
  mark({ chosen = this.marks.chosen, near = this.marks.near }) {
    this.marks = { chosen, near };
    for (const [id, { element }] of this.nodes) if (element) this.#markNode(id, element);
    for (const known of this.edges) if (known.element) this.#markEdge(known);
  }

  #markNode(id, element) {
    const { chosen, near } = this.marks;
    element.classList.toggle("chosen", id === chosen);
    element.classList.toggle("near", Boolean(near?.has(id)));
    if (id === chosen) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  }

  #markEdge({ element, edge }) {
    const { chosen, near } = this.marks;
    element.classList.toggle("touching", edge.from === chosen || edge.to === chosen);
    element.classList.toggle("near", Boolean(near?.has(edge.from) && near.has(edge.to)));
  }

  #makeNode(known) {
    const { node } = known;
    const link = svg("a", { class: "g-node", tabindex: "-1", "data-node": node.id });
    moveTo(link, known.box);
    if (node.fold) link.setAttribute("role", "button");
    else link.setAttribute("href", this.address(node.id));
    if (node.mapped || node.fold) link.append(svg("rect", { class: "g-behind", x: 4, y: 4, width: node.w, height: node.h, rx: 10 }));
    const card = svg("rect", { class: "g-card", width: node.w, height: node.h, rx: 10 });
    const disc = svg("circle", { class: "g-disc", cx: 25, cy: 24, r: node.mapped || node.fold ? 10 : 12 });
    const icon = svg("path", { class: "g-icon", transform: "translate(17 16)" });
    const label = svg("text", { class: "g-label", x: 46, y: 20 });
    const note = svg("text", { class: "g-note", x: 46, y: 36 });
    const title = svg("title");
    link.append(title, card, disc, icon, label, note);
    known.parts = { icon, label, note, title };
    known.whole = "";
    if (node.mapped || node.fold) {
      const ring = (kind) => svg("circle", { class: kind, cx: 25, cy: 24, r: 13, transform: "rotate(-90 25 24)" });
      known.parts.well = ring("g-ring");
      known.parts.badly = ring("g-ring bad");
      link.append(ring("g-track"), known.parts.well, known.parts.badly);
    }
    if (node.guard) link.classList.add("guarded");
    if (node.inner?.length) {
      link.append(svg("g", { class: "g-unfold", "data-unfold": node.id, transform: `translate(${node.w - 28} 12)` },
        svg("rect", { class: "g-fold-hit", width: 24, height: 24, rx: 6 }), svg("path", { class: "g-chevron", d: "m10 8 4 4-4 4" })));
    }
    return link;
  }

  #write(known, now) {
    const { element, node, parts } = known;
    const note = spellNote(node, now);
    const whole = `${node.label} ${node.status} ${note} ${node.w}`;
    if (known.whole !== whole) {
      known.whole = whole;
      const room = node.w - (node.inner?.length ? 78 : 58);
      const label = clip(node.label, room, 600), line = clip(note, room + 2, 400, 11.5);
      parts.label.textContent = `${label} `;
      parts.note.textContent = line;
      const told = spellWhole(node, note, { label: label !== node.label, note: line !== note });
      element.setAttribute("aria-label", `${label} ${line}, ${told}`); // begins with what is seen, for those who say what they see
      parts.title.textContent = [`${node.label}: ${note}`, node.guard ? `runs if ${node.guard}` : "", node.doc ?? ""].filter(Boolean).join("\n");
    }
    if (element.dataset.state !== node.status) {
      element.dataset.state = node.status;
      parts.icon.setAttribute("d", this.icons[node.status] ?? this.icons.waiting);
    }
    if (parts.well) {
      const { well, badly } = shareDone(node);
      parts.well.setAttribute("stroke-dasharray", `${round(well * RING)} ${round(RING)}`);
      parts.badly.setAttribute("stroke-dasharray", `${round(badly * RING)} ${round(RING)}`);
      parts.badly.setAttribute("stroke-dashoffset", round(-well * RING));
    }
  }

  #showGroups(model, layout) {
    const wanted = new Set(model.groups.map((group) => group.id));
    for (const [id, one] of this.groups) {
      if (wanted.has(id) && layout.groups[id]) continue;
      one.element.remove();
      this.groups.delete(id);
    }
    for (const group of model.groups) {
      const at = layout.groups[group.id];
      if (!at) continue;
      const known = this.groups.get(group.id) ?? this.#makeGroup(group);
      const long = group.kind === "dynamic" ? `${group.label} · made while running` : "";
      const room = Math.max(40, at[2] - 44);
      const text = long && clip(long, room, 600, 12) === long ? long : clip(group.kind === "condition" ? `if ${group.label}` : group.label, room, 600, 12);
      known.head.lastChild.textContent = text;
      known.head.setAttribute("aria-label", `${text}, fold ${group.label}`);
      known.head.firstChild.setAttribute("width", Math.min(at[2] - 12, 34 + text.length * 7));
      known.frame.setAttribute("width", round(at[2]));
      known.frame.setAttribute("height", round(at[3]));
      moveTo(known.element, at);
      known.box = at;
      this.frames.append(known.element);
    }
  }

  #makeGroup(group) {
    const frame = svg("rect", { class: "g-frame", rx: 14 });
    const head = svg("g", { class: "g-fold", role: "button", tabindex: "-1", "data-fold": group.id, "aria-expanded": "true" },
      svg("rect", { class: "g-fold-hit", x: 6, y: 4, height: 22, rx: 6 }), svg("path", { class: "g-chevron", d: "m4 6 4 4 4-4", transform: "translate(10 7)" }), svg("text", { class: "g-group-label", x: 30, y: 19 }));
    const known = { element: svg("g", { class: "g-group", "data-kind": group.kind }, frame, head), frame, head };
    this.groups.set(group.id, known);
    return known;
  }
}

/** The first and last point of what of a line goes through this part, null if nothing does. A bend stays between its ends. */
function partInSight(points, [x, y, w, h]) {
  let first = -1, last = -1;
  for (let at = 2; at < points.length; at += 2) {
    const x0 = points[at - 2], y0 = points[at - 1], x1 = points[at], y1 = points[at + 1];
    if (Math.min(x0, x1) > x + w || Math.max(x0, x1) < x || Math.min(y0, y1) > y + h || Math.max(y0, y1) < y) continue;
    if (first < 0) first = at / 2 - 1;
    last = at / 2;
  }
  return first < 0 ? null : [first, last];
}

function moveTo(element, [x, y]) {
  element.style.transform = `translate(${round(x)}px, ${round(y)}px)`;
}

/** An edge's points, and the box that it is in. */
function boxOf(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let at = 0; at < points.length; at += 2) {
    box[0] = Math.min(box[0], points[at]);
    box[1] = Math.min(box[1], points[at + 1]);
    box[2] = Math.max(box[2], points[at]);
    box[3] = Math.max(box[3], points[at + 1]);
  }
  return { points, box: points.length ? [box[0], box[1], box[2] - box[0] || 1, box[3] - box[1] || 1] : [0, 0, 0, 0] };
}
