// News of the server: one connection for all pages of this browser, which the shared worker holds (a browser opens only six to a server).
// `onLive(topic, call, stand)`; in HTML, data-live="TOPIC" on an element gets the event "live"; with data-every="MS" no more often than that, and the
// last news is never left out (htmx's own throttle leaves it out). Hidden pages catch up when they are seen again.

const AGAIN_MS = 1000;
const listeners = new Map(); // topic -> Set of functions
const missed = new Map(); // topic -> stand, while the page is hidden
let port = null;

/**
 * Call `call(stand)` whenever `topic` has news; returns a function that ends it. `stand`: how far the caller is, so that what has happened
 * since is news to it; 0 if it cannot say, for news as soon as the server is heard.
 */
export function onLive(topic, call, stand) {
  if (!listeners.has(topic)) listeners.set(topic, new Set());
  listeners.get(topic).add(call);
  tell(stand === undefined ? {} : { [topic]: stand });
  return () => {
    listeners.get(topic)?.delete(call);
    if (!listeners.get(topic)?.size) listeners.delete(topic);
    tell();
  };
}

/**
 * Do `work` now, unless the page has what it gives (`shown`), and again on news of any of the topics, at most once in `every` milliseconds,
 * until `element` is taken out of the page. One after the other: an older answer must not come after a newer one. Work that is slow is done
 * more rarely: it has a tenth of the time at most. Fails if it fails the first time.
 */
export async function whileLive(element, topics, work, { every = AGAIN_MS, shown = false } = {}) {
  let pause = every;
  let waiting = 0;
  let busy = false;
  let again = false; // news came while the work was done
  const ring = () => {
    if (busy) again = true;
    else waiting ||= setTimeout(() => look().catch(() => {}), pause);
  };
  const look = async ({ first = false } = {}) => {
    [waiting, busy, again] = [0, true, false];
    const began = performance.now();
    try {
      await work();
    } finally {
      if (!first) pause = Math.max(every, 9 * (performance.now() - began));
      busy = false;
      if (again) ring();
    }
  };
  const stops = topics.map((topic) => onLive(topic, () => {
    if (element.isConnected) ring();
    else for (const stop of stops) stop();
  }, 0)); // what came after the work was done for the first time, and before the server was heard
  if (!shown) await look({ first: true });
}

function topics() {
  const inPage = [...document.querySelectorAll("[data-live]")].map((element) => element.dataset.live);
  return [...new Set([...listeners.keys(), ...inPage])].filter(Boolean);
}

const said = new Set(); // topics whose stand in the page has been told

/** How far the page is, by the attribute data-stand beside data-live: what has happened since it was made is news to it. */
function newStands() {
  const found = {};
  for (const { dataset } of document.querySelectorAll("[data-live][data-stand]")) {
    if (!said.has(dataset.live)) found[dataset.live] = Number(dataset.stand);
    said.add(dataset.live);
  }
  return found;
}

let told = "";
function tell(stands = {}) {
  const wanted = topics();
  const text = wanted.join(" ");
  if (text === told && !Object.keys(stands).length) return;
  told = text;
  connect().postMessage({ topics: wanted, stands: { ...newStands(), ...stands } });
}

function connect() {
  if (port) return port;
  const url = document.body.dataset.worker;
  if (window.SharedWorker) {
    port = new SharedWorker(url, { name: "fairway-live", type: "module" }).port;
  } else {
    const worker = new Worker(url, { type: "module" });
    port = worker;
  }
  port.onmessage = (event) => hear(event.data);
  port.start?.();
  return port;
}

function hear({ news, connected }) {
  if (connected !== undefined) show(connected);
  for (const [topic, stand] of Object.entries(news ?? {})) {
    if (document.hidden) missed.set(topic, stand);
    else ring(topic, stand);
  }
}

function ring(topic, stand) {
  for (const call of listeners.get(topic) ?? []) call(stand);
  for (const element of document.querySelectorAll("[data-live]")) {
    if (element.dataset.live === topic && !element.hidden) tellElement(element, { topic, stand });
  }
}

const lastTold = new WeakMap(); // element -> when it was last told, and the timer that will tell it again

function tellElement(element, detail) {
  const known = lastTold.get(element) ?? { at: -Infinity, timer: 0 };
  lastTold.set(element, known);
  if (known.timer) return;
  const dispatch = () => {
    Object.assign(known, { at: performance.now(), timer: 0 });
    if (element.isConnected) element.dispatchEvent(new CustomEvent("live", { detail }));
  };
  const wait = known.at + Number(element.dataset.every ?? 0) - performance.now();
  if (wait <= 0) dispatch();
  else known.timer = setTimeout(dispatch, wait);
}

function show(connected) {
  let bar = document.getElementById("offline");
  if (connected) {
    bar?.remove();
  } else if (!bar) {
    bar = document.createElement("div");
    bar.id = "offline";
    bar.className = "offline";
    bar.setAttribute("role", "status");
    bar.textContent = "The server does not answer; trying again …";
    document.body.append(bar);
  }
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  const all = [...missed];
  missed.clear();
  for (const [topic, stand] of all) ring(topic, stand);
});
document.addEventListener("htmx:afterSettle", () => tell());
addEventListener("pagehide", () => { port?.postMessage({ bye: true }); });
addEventListener("pageshow", (event) => { if (event.persisted) { told = ""; tell(); } });
tell();
