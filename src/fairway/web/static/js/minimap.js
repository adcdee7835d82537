// The whole graph small, with a frame around what is seen. Drawn on a canvas; pointing at it moves the view.

const WIDTH = 200, HEIGHT = 130;
const FILLS = { succeeded: "--good-fill", cached: "--calm-fill", failed: "--bad-fill", running: "--busy-fill", retrying: "--warn-fill", cancelled: "--warn-fill" };

export class Minimap {
  /** @param {import("./viewport.js").Viewport} viewport */
  constructor(viewport) {
    this.viewport = viewport;
    this.element = document.createElement("canvas");
    this.element.className = "minimap";
    this.element.dataset.noPan = "";
    this.element.setAttribute("aria-hidden", "true");
    this.boxes = [];
    const go = (event) => {
      if (!event.buttons) return;
      const { scale, left, top } = this.frame();
      const x = (event.offsetX - left) / scale, y = (event.offsetY - top) / scale;
      const { width, height } = viewport.size;
      viewport.touched = true;
      viewport.set(width / 2 - x * viewport.k, height / 2 - y * viewport.k, viewport.k);
      event.preventDefault();
    };
    this.element.addEventListener("pointerdown", (event) => { this.element.setPointerCapture(event.pointerId); go(event); });
    this.element.addEventListener("pointermove", go);
  }

  frame() {
    const { content } = this.viewport;
    const scale = Math.min((WIDTH - 12) / content.width, (HEIGHT - 12) / content.height);
    return { scale, left: (WIDTH - content.width * scale) / 2 - content.x * scale, top: (HEIGHT - content.height * scale) / 2 - content.y * scale };
  }

  /** New nodes or states: [x, y, width, height, status] of each. */
  setBoxes(boxes) {
    this.boxes = boxes;
    this.background = null;
    this.draw();
  }

  draw() {
    const ratio = devicePixelRatio || 1;
    const canvas = this.element;
    if (canvas.width !== WIDTH * ratio) {
      canvas.width = WIDTH * ratio;
      canvas.height = HEIGHT * ratio;
      this.background = null;
    }
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const { scale, left, top } = this.frame();
    if (!this.background) {
      this.background = new OffscreenCanvas(canvas.width, canvas.height);
      const back = this.background.getContext("2d");
      back.scale(ratio, ratio);
      for (const [x, y, w, h, status] of this.boxes) {
        back.fillStyle = style.getPropertyValue(FILLS[status] ?? "--idle-fill");
        back.fillRect(left + x * scale, top + y * scale, Math.max(1.5, w * scale), Math.max(1.5, h * scale));
      }
    }
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(this.background, 0, 0);
    pen.scale(ratio, ratio);
    const { width, height } = this.viewport.size;
    const { x, y, k } = this.viewport;
    pen.strokeStyle = style.getPropertyValue("--accent");
    pen.lineWidth = 1.5;
    pen.strokeRect(left - (x / k) * scale, top - (y / k) * scale, (width / k) * scale, (height / k) * scale);
  }
}
