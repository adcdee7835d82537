// The rail beside a log: where in the whole of it the view stands, where the hits are; it is dragged like a scroll bar.
import { token } from "./charts.js";

export class LogRail {
  /** `go(offset)` is called while the rail is dragged. */
  constructor(element, go) {
    this.element = element;
    this.thumb = element.querySelector(".log-thumb");
    this.canvas = element.querySelector("canvas");
    this.go = go;
    this.size = 0;
    this.hits = [];
    let waiting = 0;
    const move = (event) => {
      const { top, height } = element.getBoundingClientRect();
      const share = Math.min(1, Math.max(0, (event.clientY - top) / height));
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => go(Math.floor(share * Math.max(this.size - 1, 0))));
    };
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      move(event);
    });
    element.addEventListener("pointermove", (event) => { if (element.hasPointerCapture(event.pointerId)) move(event); });
    new ResizeObserver(() => this.draw()).observe(element);
    document.addEventListener("themechange", () => this.draw());
  }

  /** The view shows bytes `from` to `to` of `size`. */
  show(from, to, size) {
    const grown = size !== this.size;
    this.size = size;
    const height = this.element.clientHeight;
    const length = size ? Math.max(24, (height * (to - from)) / size) : height;
    const place = size > to - from ? (from / (size - (to - from))) * (height - length) : 0;
    this.thumb.style.height = `${Math.min(length, height)}px`;
    this.thumb.style.transform = `translateY(${Math.max(0, Math.min(place, height - length))}px)`;
    this.thumb.hidden = length >= height;
    this.element.setAttribute("aria-valuenow", String(size ? Math.round((100 * from) / size) : 0));
    if (grown && this.hits.length) this.draw();
  }

  mark(hits, size) {
    this.hits = hits;
    this.size = size;
    this.draw();
  }

  draw() {
    const { clientWidth, clientHeight } = this.element;
    const scale = devicePixelRatio || 1;
    this.canvas.width = clientWidth * scale;
    this.canvas.height = clientHeight * scale;
    if (!this.hits.length || !this.size) return;
    const pen = this.canvas.getContext("2d");
    pen.fillStyle = token("--warn-fill");
    let last = -1;
    for (const [, , at] of this.hits) {
      const y = Math.floor((at / this.size) * (clientHeight - 2) * scale);
      if (y !== last) pen.fillRect(2 * scale, y, this.canvas.width - 4 * scale, 2 * scale);
      last = y;
    }
  }
}
