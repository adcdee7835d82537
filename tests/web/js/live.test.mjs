import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import vm from "node:vm";

const SOURCE = readFileSync(new URL("../../../src/fairway/web/static/js/live-worker.js", import.meta.url), "utf8");

/** The shared worker with connections that the test answers: `tell(event, data)` sends on the newest. */
function startWorker() {
  const sources = [];
  class EventSource {
    static CLOSED = 2;
    constructor(url) {
      Object.assign(this, { url, readyState: 1, heard: new Map() });
      sources.push(this);
    }
    addEventListener(name, call) { this.heard.set(name, call); }
    close() { this.readyState = 2; }
  }
  const timers = [];
  const self = { onconnect: null };
  vm.runInNewContext(SOURCE, { self, EventSource, setTimeout: (call) => timers.push(call), clearTimeout: () => {} });
  const settle = () => { while (timers.length) timers.shift()(); };
  return {
    sources,
    tell: (event, data) => sources.at(-1).heard.get(event)({ data: JSON.stringify(data) }),
    open(topics, stands) {
      const port = { news: [], postMessage(message) { if (message.news) this.news.push({ ...message.news }); }, start() {} };
      self.onconnect({ ports: [port] });
      port.say = (message) => { port.onmessage({ data: message }); settle(); };
      port.say({ topics, stands });
      return port;
    },
  };
}

test("what happened between the page and the connection is news", () => {
  const worker = startWorker();
  const page = worker.open(["run:a"], { "run:a": 5 });
  worker.tell("open", { "run:a": 9 });
  assert.deepEqual(page.news, [{ "run:a": 9 }]);
});

test("a page that is up to date hears nothing until there is something", () => {
  const worker = startWorker();
  const page = worker.open(["run:a"], { "run:a": 9 });
  worker.tell("open", { "run:a": 9 });
  assert.deepEqual(page.news, []);
  worker.tell("news", { "run:a": 10 });
  assert.deepEqual(page.news, [{ "run:a": 10 }]);
});

test("a second page that is behind what the first has heard is told at once, and alone", () => {
  const worker = startWorker();
  const first = worker.open(["run:a"], { "run:a": 9 });
  worker.tell("open", { "run:a": 9 });
  worker.tell("news", { "run:a": 12 });
  const second = worker.open(["run:a"], { "run:a": 11 });
  assert.deepEqual(second.news, [{ "run:a": 12 }]);
  assert.deepEqual(first.news, [{ "run:a": 12 }]);
  assert.equal(worker.sources.length, 1, "the connection stays");
});

test("after a connection was lost, what moved on meanwhile is news", () => {
  const worker = startWorker();
  const page = worker.open(["run:a", "run:b"], { "run:a": 1 });
  worker.tell("open", { "run:a": 1, "run:b": 4 });
  worker.tell("open", { "run:a": 3, "run:b": 4 });
  assert.deepEqual(page.news, [{ "run:a": 3 }]);
});

test("each page hears of its own topics alone", () => {
  const worker = startWorker();
  const a = worker.open(["run:a"]), b = worker.open(["run:b"]);
  worker.tell("news", { "run:b": 2 });
  assert.deepEqual([a.news, b.news], [[], [{ "run:b": 2 }]]);
  b.say({ bye: true });
  worker.tell("news", { "run:b": 3 });
  assert.equal(b.news.length, 1);
});

test("who cannot say how far it is hears of what there is, once", () => {
  const worker = startWorker();
  const page = worker.open(["samples:a/1", "samples:b/1"], { "samples:a/1": 0, "samples:b/1": 0 });
  worker.tell("open", { "samples:a/1": 300, "samples:b/1": 0 });
  assert.deepEqual(page.news, [{ "samples:a/1": 300 }]);
  const other = worker.open(["samples:a/1"], { "samples:a/1": 0 });
  assert.deepEqual(other.news, [{ "samples:a/1": 300 }]);
});
