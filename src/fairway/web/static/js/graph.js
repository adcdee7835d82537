// The graph of a run on its page: fetches, lays out, draws, and keeps all of it up to date in place.

import { Drawing, svg } from "./graph-draw.js";
import { foldAtFirst, makeModel, nextNode, related } from "./graph-model.js";
import { describe, findLayout } from "./layouts.js";
import { FarPicture } from "./graph-far.js";
import { Minimap } from "./minimap.js";
import { Viewport } from "./viewport.js";

const MINIMAP_FROM = 60;
const MANY_FROM = 150; // nodes from which on only those in sight are in the page, and from afar none but a picture of them
const FAR = 0.4;
const READABLE = 0.7;
const NOTHING = [0, 0, 0, 0];
const WORTH_SEEING = ["failed", "retrying", "running"];

export class GraphView {
  /**
   * @param {HTMLElement} host
   * @param {{pipeline: string, address: (id: string) => string, choose: (id: string) => void}} page
   */
  constructor(host, page) {
    this.host = host;
    this.page = page;
    this.chosen = "";
    this.shape = "";
    this.drawing = new Drawing(page.address);
    this.canvas = svg("svg", { class: "g-canvas", role: "group", "aria-label": "Steps and what they need. Arrow keys walk along them, Enter opens one" });
    const arrow = svg("marker", { id: "g-arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" }, svg("path", { class: "g-arrow", d: "M0 0.5 7.5 4 0 7.5z" }));
    this.canvas.append(svg("defs", {}, arrow), this.drawing.root);
    this.canvas.tabIndex = -1;
    this.far = new FarPicture();
    host.append(this.far.element, this.canvas, this.#makeTools());
    this.viewport = new Viewport(host, { change: (view, eased) => this.#move(view, eased) });
    this.minimap = new Minimap(this.viewport);
    this.minimap.element.hidden = true;
    host.append(this.minimap.element);
    host.tabIndex = 0;
    host.setAttribute("role", "region");
    this.#listen();
    new ResizeObserver(() => this.#resized()).observe(host);
    const recolour = () => {
      this.minimap.background = null;
      this.minimap.draw();
      this.far.colours = null;
      if (this.model && this.#isFar()) this.far.draw(this.drawing, this.viewport);
    };
    document.addEventListener("themechange", recolour);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  }

  /** Show this graph.json. */
  setData(data) {
    this.data = data;
    this.folded ??= this.#recallFolds(data);
    const model = makeModel(data, this.folded);
    this.model = model;
    if (model.shape !== this.shape || !this.places) {
      this.shape = model.shape;
      this.#layOut(model);
    } else {
      this.drawing.patch(model);
      if (this.#isFar()) this.far.draw(this.drawing, this.viewport);
    }
    this.#drawMinimap();
    this.host.dataset.ready = "true";
  }

  #layOut(model) {
    const size = this.viewport.size;
    if (!size.width) return;
    const drawing = describe(model, size);
    const shape = this.shape;
    const { layout, later } = findLayout(drawing, shape);
    this.#place(model, layout, drawing.dir, Boolean(later));
    later?.then((made) => {
      if (this.shape === shape) this.#place(this.model, made, drawing.dir, false);
    });
  }

  #place(model, layout, dir, rough) {
    const anchor = this.#anchor();
    this.across = dir === "right";
    this.places = layout;
    this.host.dataset.layout = rough ? "sketch" : "done";
    const before = this.far.places(this.drawing);
    this.drawing.show(model, layout, this.across, model.nodes.length < MANY_FROM ? null : NOTHING);
    this.drawing.root.classList.toggle("rough", rough);
    this.viewport.content = { x: 0, y: 0, width: Math.max(layout.width, 1), height: Math.max(layout.height, 1) };
    this.middles = Object.fromEntries(model.nodes.map((node) => [node.id, [layout.nodes[node.id][0] + node.w / 2, layout.nodes[node.id][1] + node.h / 2]]));
    if (!this.viewport.touched || !anchor) this.#start();
    else this.#holdAnchor(anchor);
    this.minimap.element.hidden = model.nodes.length < MINIMAP_FROM && !this.#isLarge();
    this.#mark();
    this.#roam();
    this.far.drawn = null;
    this.#look();
    if (this.#isFar()) this.far.ease(this.drawing, this.viewport, before);
    this.#drawMinimap();
  }

  /** Does not fit in a size that can be read. */
  #isLarge() {
    const { width, height } = this.viewport.size;
    const { content } = this.viewport;
    return content.width * READABLE > width || content.height * READABLE > height;
  }

  /** A graph of few nodes can be read at once, from what matters most; of a large one all is seen. */
  #start() {
    const { nodes } = this.model;
    const wanted = this.nodeOf(this.chosen) || WORTH_SEEING.map((status) => nodes.find((node) => node.status === status)?.id).find(Boolean) || nodes[0]?.id;
    if (nodes.length < MINIMAP_FROM) this.viewport.start(this.drawing.nodes.get(wanted)?.box, READABLE);
    else this.viewport.fit();
  }

  /** Where a node is seen now that is to stay there when everything moves: the chosen one, else the nearest to the middle. */
  #anchor() {
    if (!this.middles || !this.viewport.touched) return null;
    const { width, height } = this.viewport.size;
    const { x, y, k } = this.viewport;
    let best = null, least = Infinity;
    for (const [id, [mx, my]] of Object.entries(this.middles)) {
      const far = id === this.kept ? -1 : Math.hypot(mx * k + x - width / 2, my * k + y - height / 2);
      if (far < least) { least = far; best = { id, x: mx * k + x, y: my * k + y }; }
    }
    return best;
  }

  #holdAnchor(anchor) {
    const at = this.middles[anchor.id];
    const { x, y, k } = this.viewport;
    if (at) this.viewport.set(anchor.x - at[0] * k, anchor.y - at[1] * k, k);
    else this.viewport.set(x, y, k);
  }

  #move({ x, y, k }, eased) {
    this.drawing.root.style.transform = `translate(${x}px, ${y}px) scale(${k})`;
    this.canvas.classList.toggle("eased", eased);
    this.canvas.dataset.scale = k < 0.3 ? "far" : k < 0.55 ? "middle" : "near";
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.#look();
      if (!this.minimap.element.hidden) this.minimap.draw();
    });
  }

  #isFar() {
    return this.model.nodes.length >= MANY_FROM && this.viewport.k < FAR;
  }

  /** Of many nodes those in sight are in the page; from afar there is a picture of all. */
  #look() {
    if (!this.model || !this.places) return;
    const many = this.model.nodes.length >= MANY_FROM, far = this.#isFar();
    this.far.element.hidden = !far;
    this.drawing.root.classList.toggle("far", far);
    if (!many) return;
    const { width, height } = this.viewport.size;
    const { x, y, k } = this.viewport;
    const edge = 150;
    this.drawing.see(far ? NOTHING : [(-x - edge) / k, (-y - edge) / k, (width + 2 * edge) / k, (height + 2 * edge) / k]);
    if (far) this.far.follow(this.drawing, this.viewport);
  }

  #resized() {
    if (!this.data || !this.viewport.size.width) return;
    if (!this.places) this.setData(this.data);
    else if (!this.viewport.touched) this.#start();
    else this.#move(this.viewport, false);
    this.minimap.element.hidden = this.model.nodes.length < MINIMAP_FROM && !this.#isLarge();
    this.#drawMinimap();
  }

  /** Mark the node of this task or step; bring it into view with `show`. */
  choose(task, show = false) {
    this.chosen = task;
    if (!this.model) return;
    this.#mark();
    const id = this.nodeOf(task);
    if (show && id && this.middles?.[id]) this.viewport.reveal(this.drawing.nodes.get(id).box, 0.6);
  }

  /** The node that a task's address belongs to, a folded group's if it is in one, "" if none. */
  nodeOf(task) {
    if (!task || !this.model) return "";
    const known = this.drawing.nodes;
    for (const name of [task, task.replace(/\[[\d,]*\]$/, "")]) {
      if (known.has(name)) return name;
      let group = this.data.nodes.find((node) => node.id === name)?.group;
      while (group) {
        if (known.has(group)) return group;
        group = this.data.groups.find((one) => one.id === group)?.parent;
      }
    }
    return "";
  }

  #mark() {
    const id = this.nodeOf(this.chosen);
    if (id) this.kept = id;
    this.drawing.mark({ chosen: id });
    if (this.places && this.#isFar()) this.far.draw(this.drawing, this.viewport);
  }

  /** One node at a time can be reached with Tab; arrows go on from it. */
  #roam(id) {
    const ids = this.model.nodes.map((node) => node.id);
    const wanted = id ?? (ids.includes(this.at) ? this.at : this.nodeOf(this.chosen) || ids[0]);
    this.drawing.nodes.get(this.at)?.element?.setAttribute("tabindex", "-1");
    this.at = wanted;
    this.drawing.kept = new Set([wanted]);
    this.drawing.elementOf(wanted)?.setAttribute("tabindex", "0");
  }

  #listen() {
    this.host.addEventListener("click", (event) => {
      const head = event.target.closest("[data-fold]");
      if (head) return this.fold(head.dataset.fold);
      const more = event.target.closest("[data-unfold]");
      if (more) {
        event.preventDefault();
        return this.foldMade(more.dataset.unfold);
      }
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.target.closest("[data-no-pan]")) return undefined;
      const id = event.target.closest(".g-node")?.dataset.node ?? (this.#isFar() ? this.#nodeAt(event) : "");
      if (!id) return undefined;
      event.preventDefault();
      return this.#open(id);
    });
    this.host.addEventListener("keydown", (event) => this.#key(event), true);
    this.host.addEventListener("focusin", (event) => {
      const link = event.target.closest(".g-node");
      if (!link) return;
      this.#roam(link.dataset.node);
      if (link.matches(":focus-visible")) this.viewport.reveal(this.drawing.nodes.get(link.dataset.node).box);
    });
    const light = (id) => {
      const near = id && this.model.nodes.length < 2000 ? related(this.model.edges, id) : null;
      this.canvas.classList.toggle("lit", Boolean(near));
      this.drawing.mark({ near });
    };
    let lit = "";
    this.host.addEventListener("pointerover", (event) => {
      const id = event.pointerType === "mouse" ? event.target.closest?.(".g-node")?.dataset.node ?? "" : "";
      if (id === lit || event.buttons) return;
      lit = id;
      clearTimeout(this.lighting);
      this.lighting = setTimeout(() => light(lit), lit ? 250 : 60);
    });
  }

  /** The node under the pointer, where there is only a picture of it. */
  #nodeAt(event) {
    const home = this.host.getBoundingClientRect();
    const { x, y, k } = this.viewport;
    const px = (event.clientX - home.left - x) / k, py = (event.clientY - home.top - y) / k;
    const slack = 4 / k;
    for (const [id, { box }] of this.drawing.nodes) if (px >= box[0] - slack && py >= box[1] - slack && px <= box[0] + box[2] + slack && py <= box[1] + box[3] + slack) return id;
    return "";
  }

  #open(id) {
    const known = this.drawing.nodes.get(id);
    if (known?.node.fold) this.fold(id);
    else this.page.choose(id);
  }

  #key(event) {
    const link = event.target.closest?.(".g-node");
    const head = event.target.closest?.("[data-fold]");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ((event.key === "Enter" || event.key === " ") && (link || head)) {
      event.preventDefault();
      if (head) this.fold(head.dataset.fold);
      else this.#open(link.dataset.node);
      return;
    }
    if (!link) return;
    const ids = this.model.nodes.map((node) => node.id);
    const at = ids.indexOf(link.dataset.node);
    let next = null;
    if (event.key.startsWith("Arrow")) next = nextNode(this.middles, link.dataset.node, event.key);
    else if (event.key === "Home") next = ids[0];
    else if (event.key === "End") next = ids.at(-1);
    else if (event.key === "PageDown" || event.key === "n") next = ids[Math.min(ids.length - 1, at + 1)];
    else if (event.key === "PageUp" || event.key === "p") next = ids[Math.max(0, at - 1)];
    else if (event.key === "f") {
      const { node } = this.drawing.nodes.get(link.dataset.node);
      if (node.inner?.length) this.foldMade(node.id);
      else if (node.fold || node.group) this.fold(node.fold ? node.id : node.group);
    } else return undefined;
    event.preventDefault();
    event.stopPropagation();
    if (next) this.drawing.elementOf(next).focus({ preventScroll: true });
    return undefined;
  }

  /** Fold the group, or open it. */
  fold(id) {
    const maker = this.model.nodes.find((node) => node.inner?.includes(id));
    if (maker) return this.foldMade(maker.id);
    if (this.folded.has(id)) this.folded.delete(id);
    else this.folded.add(id);
    this.#keepFolds();
    const had = document.activeElement?.closest?.("[data-node], [data-fold]");
    this.kept = id;
    this.setData(this.data);
    if (had && !had.isConnected) (this.drawing.elementOf(id) ?? this.drawing.groups.get(id)?.head)?.focus({ preventScroll: true });
    return undefined;
  }

  /** Open what a dynamic step has made, or fold it back into the step. */
  foldMade(id) {
    const { inner } = this.drawing.nodes.get(id).node;
    const open = inner.some((group) => !this.folded.has(group));
    for (const group of inner) {
      if (open) this.folded.add(group);
      else this.folded.delete(group);
    }
    this.#keepFolds();
    this.kept = id;
    this.setData(this.data);
    this.drawing.elementOf(id)?.focus({ preventScroll: true });
  }

  /** Fold all groups, or open all. */
  foldAll() {
    this.folded = new Set(this.folded.size ? [] : this.data.groups.map((group) => group.id));
    this.#keepFolds();
    this.setData(this.data);
  }

  #foldsKey() {
    return `fairway-folds:${this.page.pipeline}`;
  }

  #recallFolds(data) {
    try {
      const kept = JSON.parse(localStorage.getItem(this.#foldsKey()) ?? "null");
      if (Array.isArray(kept)) return new Set(kept);
    } catch { /* as at first */ }
    return new Set(foldAtFirst(data));
  }

  #keepFolds() {
    try { localStorage.setItem(this.#foldsKey(), JSON.stringify([...this.folded].slice(0, 200))); } catch { /* for this page */ }
  }

  #drawMinimap() {
    this.tools.querySelector("[data-tool=fold]").hidden = !this.data.groups.length;
    if (this.minimap.element.hidden || !this.places) return;
    this.minimap.setBoxes(this.model.nodes.map((node) => [...(this.places.nodes[node.id] ?? [0, 0]), node.w, node.h, node.status]));
  }

  #makeTools() {
    this.tools = document.getElementById("graph-tools").content.firstElementChild.cloneNode(true);
    this.tools.dataset.noPan = "";
    this.tools.addEventListener("click", (event) => {
      const tool = event.target.closest("[data-tool]")?.dataset.tool;
      if (tool === "in") this.viewport.zoom(1.25, null, true);
      else if (tool === "out") this.viewport.zoom(0.8, null, true);
      else if (tool === "fit") this.viewport.fit(true);
      else if (tool === "fold") this.foldAll();
    });
    return this.tools;
  }

  tick() {
    if (this.model) this.drawing.tick();
  }
}
