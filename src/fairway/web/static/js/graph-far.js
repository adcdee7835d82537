// Many nodes from afar: a picture on a canvas, which costs a few milliseconds where a thousand cards would cost a hundred.

const FILLS = { succeeded: "--good-fill", cached: "--calm-fill", failed: "--bad-fill", running: "--busy-fill", retrying: "--warn-fill", cancelled: "--warn-fill", skipped: "--idle-soft", waiting: "--idle-fill" };
const PALE = ["succeeded", "cached", "waiting"];
const EASE_MS = 260;
const MARGIN = 240; // pixels drawn beyond each side, so that the picture can be moved without drawing it anew
const REST_MS = 120;

export class FarPicture {
  constructor() {
    this.element = document.createElement("canvas");
    this.element.className = "g-far";
    this.element.hidden = true;
    this.element.setAttribute("aria-hidden", "true");
    this.colours = null;
    this.drawn = null;
  }

  /** The view has moved: shift what is drawn, and draw it anew once the view rests, or when that does not reach. */
  follow(drawing, viewport) {
    const { drawn } = this;
    const dx = drawn ? viewport.x - drawn.x : Infinity, dy = drawn ? viewport.y - drawn.y : Infinity;
    if (drawn?.k !== viewport.k || Math.abs(dx) > MARGIN || Math.abs(dy) > MARGIN) {
      this.draw(drawing, viewport);
      return;
    }
    this.element.style.transform = `translate(${dx}px, ${dy}px)`;
    clearTimeout(this.resting);
    if (dx || dy) this.resting = setTimeout(() => { if (!this.element.hidden) this.draw(drawing, viewport); }, REST_MS);
  }

  #colour(name) {
    this.colours ??= new Map();
    if (!this.colours.has(name)) this.colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return this.colours.get(name);
  }

  /** Where the nodes of a drawing stand. */
  places(drawing) {
    return new Map([...drawing.nodes].map(([id, { box }]) => [id, box]));
  }

  /** Move the nodes from where they stood to where they stand. */
  ease(drawing, viewport, before) {
    if (!before.size || matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.draw(drawing, viewport);
      return;
    }
    const began = performance.now();
    const step = () => {
      const share = Math.min(1, (performance.now() - began) / EASE_MS);
      const eased = 1 - (1 - share) ** 3;
      this.draw(drawing, viewport, share < 1 ? { before, eased } : null);
      if (share < 1 && !this.element.hidden) requestAnimationFrame(step);
    };
    step();
  }

  draw(drawing, { x, y, k, size }, moving = null) {
    const ratio = devicePixelRatio || 1;
    const width = size.width + 2 * MARGIN, height = size.height + 2 * MARGIN;
    if (this.element.width !== Math.round(width * ratio) || this.element.height !== Math.round(height * ratio)) {
      this.element.width = Math.round(width * ratio);
      this.element.height = Math.round(height * ratio);
      this.element.style.width = `${width}px`;
      this.element.style.height = `${height}px`;
    }
    clearTimeout(this.resting);
    this.drawn = { x, y, k };
    this.element.style.transform = "";
    const pen = this.element.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.element.width, this.element.height);
    pen.setTransform(ratio * k, 0, 0, ratio * k, ratio * (x + MARGIN), ratio * (y + MARGIN));
    const seen = [(-x - MARGIN) / k, (-y - MARGIN) / k, width / k, height / k];
    const inside = ([bx, by, bw, bh]) => bx < seen[0] + seen[2] && by < seen[1] + seen[3] && bx + bw > seen[0] && by + bh > seen[1];
    if (!moving) this.#drawEdges(pen, drawing, inside, k);
    for (const { box } of drawing.groups.values()) if (box && inside(box)) this.#frame(pen, box, k);
    for (const [id, { node, box }] of drawing.nodes) {
      if (!inside(box)) continue;
      let [bx, by] = box;
      const from = moving?.before.get(id);
      if (from) {
        bx = from[0] + (bx - from[0]) * moving.eased;
        by = from[1] + (by - from[1]) * moving.eased;
      }
      pen.globalAlpha = PALE.includes(node.status) ? 0.55 : 1;
      pen.fillStyle = this.#colour(FILLS[node.status] ?? "--idle-fill");
      pen.fillRect(bx, by, box[2], box[3]);
      if (id !== drawing.marks.chosen) continue;
      pen.globalAlpha = 1;
      pen.strokeStyle = this.#colour("--accent");
      pen.lineWidth = 3 / k;
      pen.strokeRect(bx - 2 / k, by - 2 / k, box[2] + 4 / k, box[3] + 4 / k);
    }
    pen.globalAlpha = 1;
  }

  #drawEdges(pen, drawing, inside, k) {
    pen.lineWidth = Math.max(1, 0.7 / k);
    for (const [colour, alpha, wanted] of [["--line-strong", 0.35, (state) => state !== "stopped"], ["--bad-fill", 0.8, (state) => state === "stopped"]]) {
      pen.strokeStyle = this.#colour(colour);
      pen.globalAlpha = alpha;
      pen.beginPath();
      for (const { edge, points, box } of drawing.edges) {
        if (!points.length || !inside(box) || !wanted(edge.state)) continue;
        trace(pen, points, drawing.across);
      }
      pen.stroke();
    }
  }

  #frame(pen, [x, y, w, h], k) {
    pen.globalAlpha = 1;
    pen.strokeStyle = this.#colour("--line-strong");
    pen.lineWidth = 1 / k;
    pen.strokeRect(x, y, w, h);
  }
}

function trace(pen, points, across) {
  pen.moveTo(points[0], points[1]);
  for (let n = 2; n < points.length; n += 2) {
    const x0 = points[n - 2], y0 = points[n - 1], x = points[n], y = points[n + 1];
    if ((n / 2) % 2 === 0) pen.lineTo(x, y);
    else if (across) pen.bezierCurveTo((x0 + x) / 2, y0, (x0 + x) / 2, y, x, y);
    else pen.bezierCurveTo(x0, (y0 + y) / 2, x, (y0 + y) / 2, x, y);
  }
}
