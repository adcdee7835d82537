import assert from "node:assert/strict";
import test from "node:test";

/** The page's side of the news, with a worker that keeps what it is told: `hear(news)` as if the server had said it. */
async function startPage(elements = []) {
  const told = [];
  const port = { postMessage: (message) => told.push(message), start() {} };
  const document = Object.assign(new EventTarget(), { hidden: false, body: { dataset: { worker: "/live-worker.js" } }, querySelectorAll: () => elements, getElementById: () => null });
  Object.assign(globalThis, { document, window: { SharedWorker: true }, SharedWorker: class { port = port; }, addEventListener() {} });
  const { onLive, whileLive } = await import(`../../../src/fairway/web/static/js/live.js?${Math.random()}`);
  return { onLive, whileLive, told, hear: (news) => port.onmessage({ data: { news } }), settle: () => document.dispatchEvent(new Event("htmx:afterSettle")) };
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

test("what a page asks for again and again comes one after the other: an older answer never takes the place of a newer one", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = await startPage();
  const answers = [];
  const element = { isConnected: true };
  const first = page.whileLive(element, ["log:a/1"], () => new Promise((resolve, reject) => answers.push({ resolve, reject })), { every: 300 });
  page.hear({ "log:a/1": 5 });
  t.mock.timers.tick(1000);
  assert.equal(answers.length, 1, "the first answer is still to come");
  answers[0].resolve();
  await first;
  t.mock.timers.tick(300);
  assert.equal(answers.length, 2, "and what was heard meanwhile is asked for after it");
  answers[1].reject(new Error("the server is away"));
  await new Promise(setImmediate);
  element.isConnected = false;
  page.hear({ "log:a/1": 6 });
  t.mock.timers.tick(60_000);
  assert.equal(answers.length, 2);
  assert.deepEqual(page.told.at(-1).topics, []);
});

test("a first answer that fails is told to who asked, and the next news ask again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = await startPage();
  let count = 0;
  const work = async () => {
    count += 1;
    throw new Error("not now");
  };
  await assert.rejects(page.whileLive({ isConnected: true }, ["log:a/1"], work), /not now/);
  page.hear({ "log:a/1": 5 });
  t.mock.timers.tick(1000);
  assert.equal(count, 2);
});

test("what the page shows already is not asked for before there is news", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const page = await startPage();
  let count = 0;
  await page.whileLive({ isConnected: true }, ["run:a"], async () => { count += 1; }, { shown: true });
  assert.equal(count, 0);
  page.hear({ "run:a": 5 });
  t.mock.timers.tick(1000);
  assert.equal(count, 1);
});
