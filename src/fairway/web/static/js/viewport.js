// A surface that is moved and scaled: drag, wheel, pinch, keys. Holds a transform; whoever draws hears of each change.

const LEAST = 0.04, MOST = 2.5;
const KEPT = 80; // pixels of the content that cannot be moved out of sight

export class Viewport {
  /**
   * @param {HTMLElement} host what takes the pointer and has the size
   * @param {{change: (view: {x: number, y: number, k: number}, eased: boolean) => void}} heard
   */
  constructor(host, { change }) {
    this.host = host;
    this.change = change;
    this.x = 0;
    this.y = 0;
    this.k = 1;
    this.content = { x: 0, y: 0, width: 1, height: 1 };
    this.touched = false; // until somebody moves it, the whole is kept in view
    this.pointers = new Map();
    host.addEventListener("pointerdown", (event) => this.#press(event));
    host.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) host.addEventListener(end, (event) => this.#release(event));
    host.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("click", (event) => { if (this.moved) { event.stopPropagation(); event.preventDefault(); } }, true);
  }

  get size() {
    return { width: this.host.clientWidth, height: this.host.clientHeight };
  }

  /** Move there; some of the content always stays in sight. */
  set(x, y, k, eased = false) {
    const { width, height } = this.size;
    const { content } = this;
    const within = (at, from, size, room) => {
      const seen = Math.min(KEPT, (size * k) / 2, room / 2);
      return Math.min(room - seen - from * k, Math.max(seen - (from + size) * k, at));
    };
    this.k = k;
    this.x = within(x, content.x, content.width, width);
    this.y = within(y, content.y, content.height, height);
    this.change({ x: this.x, y: this.y, k }, eased);
  }

  /** Show all of the content, no larger than life. */
  fit(eased = false) {
    const { width, height } = this.size;
    const { content } = this;
    if (!width || !height) return;
    const pad = Math.min(32, width / 20);
    const k = Math.min(1, (width - 2 * pad) / content.width, (height - 2 * pad) / content.height);
    this.set((width - content.width * k) / 2 - content.x * k, (height - content.height * k) / 2 - content.y * k, k, eased);
    this.touched = false;
  }

  /** As at first: all of it if that can be read at `least`, else in that size the part around `focus`: [x, y, width, height]. */
  start(focus, least) {
    this.fit();
    if (this.k >= least || !focus) return;
    const { width, height } = this.size;
    const { content } = this;
    const along = (room, from, size, at, long) => {
      const pad = 24;
      if (size * least + 2 * pad <= room) return (room - size * least) / 2 - from * least;
      const wanted = room / 2 - (at + long / 2) * least;
      return Math.min(pad - from * least, Math.max(room - pad - (from + size) * least, wanted));
    };
    this.set(along(width, content.x, content.width, focus[0], focus[2]), along(height, content.y, content.height, focus[1], focus[3]), least);
  }

  /** Zoom by a factor, about a point of the host (its middle if none is given). */
  zoom(by, at, eased = false) {
    const { width, height } = this.size;
    const [cx, cy] = at ?? [width / 2, height / 2];
    const k = Math.min(MOST, Math.max(Math.min(LEAST, this.k), this.k * by));
    this.touched = true;
    this.set(cx - ((cx - this.x) * k) / this.k, cy - ((cy - this.y) * k) / this.k, k, eased);
  }

  pan(dx, dy, eased = false) {
    this.touched = true;
    this.set(this.x + dx, this.y + dy, this.k, eased);
  }

  /** Move no further than is needed for a rectangle of the content to be seen, and large enough to be read with `least`. */
  reveal([x, y, w, h], least = 0, eased = true) {
    const { width, height } = this.size;
    const k = Math.max(this.k, least);
    if (k !== this.k) {
      this.touched = true;
      this.set(width / 2 - (x + w / 2) * k, height / 2 - (y + h / 2) * k, k, eased);
      return;
    }
    const by = (room, from, size) => {
      const pad = Math.max(0, Math.min(48, (room - size) / 2));
      return Math.max(pad - from, 0) || Math.min(room - pad - from - size, 0);
    };
    const dx = by(width, x * k + this.x, w * k), dy = by(height, y * k + this.y, h * k);
    if (dx || dy) this.pan(dx, dy, eased);
  }

  #at(event) {
    const box = this.host.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #press(event) {
    if (event.button > 0 || event.target.closest?.("[data-no-pan]")) return;
    this.pointers.set(event.pointerId, this.#at(event));
    this.pressed = this.#at(event);
    if (this.pointers.size === 1) this.moved = false;
  }

  #drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const at = this.#at(event);
    if (!this.moved && Math.hypot(at[0] - this.pressed[0], at[1] - this.pressed[1]) < 4) return;
    if (!this.moved) {
      this.moved = true;
      try { this.host.setPointerCapture(event.pointerId); } catch { /* the pointer has gone */ }
      this.host.classList.add("moving");
    }
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const wide = Math.hypot(before[0] - other[0], before[1] - other[1]) || 1;
      this.zoom(Math.hypot(at[0] - other[0], at[1] - other[1]) / wide, [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2]);
      this.pan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
    } else this.pan(at[0] - before[0], at[1] - before[1]);
    this.pointers.set(event.pointerId, at);
  }

  #release(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) {
      this.host.classList.remove("moving");
      setTimeout(() => { this.moved = false; }); // after the click that this may end in
    }
  }

  #wheel(event) {
    const lines = event.deltaMode === 1 ? 16 : 1;
    const zooms = event.ctrlKey || event.metaKey;
    const [dx, dy] = event.shiftKey && !event.deltaX ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
    if (!zooms && Math.abs(dy) > Math.abs(dx) && canScroll(dy)) return; // the page goes first
    event.preventDefault();
    if (zooms) this.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey && Math.abs(event.deltaY) < 50 ? 0.01 : 0.002)), this.#at(event));
    else this.pan(-dx * lines, -dy * lines);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.target !== this.host && event.key.startsWith("Arrow")) return;
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) this.pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25, null, true);
    else if (event.key === "-") this.zoom(0.8, null, true);
    else if (event.key === "0") this.fit(true);
    else return;
    event.preventDefault();
  }
}

/** Is there more of the page in the direction of the wheel? */
function canScroll(dy) {
  const page = document.scrollingElement;
  return dy > 0 ? page.scrollTop + innerHeight < page.scrollHeight - 2 : page.scrollTop > 2;
}
