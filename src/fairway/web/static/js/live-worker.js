// Holds the one connection for news. Pages say which topics they want; what comes is handed to those that want it.
const pages = new Map(); // port -> Set of topics
const stands = new Map(); // topic -> where it stood when it was last heard of
let source = null;
let wanted = "";
let waiting = 0;

function all() {
  return [...new Set([...pages.values()].flatMap((topics) => [...topics]))].sort();
}

function reopen() {
  const topics = all();
  const text = topics.join("\n");
  if (text === wanted && source && source.readyState !== EventSource.CLOSED) return;
  wanted = text;
  source?.close();
  source = null;
  for (const topic of stands.keys()) if (!topics.includes(topic)) stands.delete(topic);
  if (!topics.length) return;
  source = new EventSource(`/live?${topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&")}`);
  source.addEventListener("open", (event) => { if (event.data) caught(JSON.parse(event.data)); });
  source.addEventListener("news", (event) => spread(JSON.parse(event.data)));
  source.onopen = () => tellAll({ connected: true });
  source.onerror = () => {
    tellAll({ connected: false });
    if (source?.readyState === EventSource.CLOSED) { // refused: not tried again by itself
      clearTimeout(waiting);
      waiting = setTimeout(reopen, 3000);
    }
  };
}

/** After a connection was made anew: what has moved on meanwhile is news. */
function caught(now) {
  const news = {};
  for (const [topic, stand] of Object.entries(now)) {
    if (stands.has(topic) && stands.get(topic) !== stand) news[topic] = stand;
    stands.set(topic, stand);
  }
  spread(news);
}

/** What a page shows may be older than what was heard of since, or newer than nothing: then the connection will tell. */
function missed(port, shown) {
  const news = {};
  for (const [topic, stand] of Object.entries(shown)) {
    if (!stands.has(topic)) stands.set(topic, stand);
    else if (stands.get(topic) > stand) news[topic] = stands.get(topic);
  }
  if (Object.keys(news).length) port.postMessage({ news });
}

function spread(news) {
  for (const [topic, stand] of Object.entries(news)) stands.set(topic, stand);
  for (const [port, topics] of pages) {
    const some = Object.fromEntries(Object.entries(news).filter(([topic]) => topics.has(topic)));
    if (Object.keys(some).length) port.postMessage({ news: some });
  }
}

function tellAll(message) {
  for (const port of pages.keys()) port.postMessage(message);
}

let soon = 0;
function serve(port) {
  port.onmessage = ({ data }) => {
    if (data.bye) pages.delete(port);
    else {
      pages.set(port, new Set(data.topics));
      missed(port, data.stands ?? {});
    }
    clearTimeout(soon);
    soon = setTimeout(reopen, data.bye ? 500 : 0);
  };
  port.start?.();
}

if ("onconnect" in self) self.onconnect = (event) => serve(event.ports[0]);
else serve(self);
