import assert from "node:assert/strict";
import test from "node:test";

/** The page's side of the news, with a worker that keeps what it is told: `hear(news)` as if the server had said it. */
async function startPage(elements = []) {
  const told = [];
  const port = { postMessage: (message) => told.push(message), start() {} };
  const document = Object.assign(new EventTarget(), { hidden: false, body: { dataset: { worker: "/live-worker.js" } }, querySelectorAll: () => elements, getElementById: () => null });
  Object.assign(globalThis, { document, window: { SharedWorker: true }, SharedWorker: class { port = port; }, addEventListener() {} });
  const { onLive } = await import(`../../../src/fairway/web/static/js/live.js?${Math.random()}`);
  return { onLive, told, hear: (news) => port.onmessage({ data: { news } }), settle: () => document.dispatchEvent(new Event("htmx:afterSettle")) };
}

test("a log says how far it is, so that lines between the page and the connection are news", async () => {
  const page = await startPage();
  const heard = [];
  page.onLive("log:a/1", (stand) => heard.push(stand), 120);
  assert.deepEqual(page.told, [{ topics: ["log:a/1"], stands: { "log:a/1": 120 } }]);
  page.hear({ "log:a/1": 150 });
  assert.deepEqual(heard, [150]);
});

test("a log that is opened again says how far it is now, though its topic is known", async () => {
  const page = await startPage();
  page.onLive("log:a/1", () => {}, 120);
  page.onLive("log:a/1", () => {}, 90);
  assert.deepEqual(page.told.map(({ stands }) => stands), [{ "log:a/1": 120 }, { "log:a/1": 90 }]);
});

test("what the page shows is told with the first topics, once", async () => {
  const page = await startPage([{ dataset: { live: "run:a", stand: "7" } }]);
  assert.deepEqual(page.told, [{ topics: ["run:a"], stands: { "run:a": 7 } }]);
  page.settle();
  page.onLive("runs", () => {});
  assert.deepEqual(page.told.slice(1), [{ topics: ["runs", "run:a"], stands: {} }]);
});
