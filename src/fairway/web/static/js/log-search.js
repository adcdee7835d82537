// Search in a log: the server looks through all of it and sends what it finds as it goes; this keeps the hits and which is the current one.

/** @typedef {[number, number, number]} Hit Line, byte where its row begins, byte where the match begins. */

export class LogSearch {
  /** `found()` is called when there are new hits, or when the search has come further. */
  constructor(url, found) {
    this.url = url;
    this.found = found;
    this.clear();
  }

  clear() {
    this.abort?.abort();
    this.abort = null;
    /** @type {Hit[]} */
    this.hits = [];
    this.current = -1;
    this.share = 0;
    this.done = true;
    this.more = false;
    this.wrong = "";
    this.asked = null;
    this.next = null;
  }

  /** Look for `asked` ({q, case, regex, stamps}) from the beginning of the log. */
  async start(asked) {
    this.clear();
    this.asked = asked;
    await this.#run({ ...asked, offset: 0, line: 1 });
  }

  /** The log has grown: look at what is new. */
  async goOn() {
    if (!this.asked || !this.done || this.more || this.wrong || !this.next) return;
    const known = new Set(this.hits.slice(-3).map((hit) => hit[2]));
    await this.#run({ ...this.asked, offset: this.next.offset, line: this.next.line }, known);
  }

  async #run(query, known = new Set()) {
    const abort = new AbortController();
    this.abort = abort;
    this.done = false;
    try {
      const response = await fetch(`${this.url}&${new URLSearchParams(query)}`, { signal: abort.signal, headers: { accept: "application/x-ndjson" } });
      if (!response.ok) {
        this.wrong = (await response.json().catch(() => ({}))).detail ?? `the server answered ${response.status}`;
        return;
      }
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) this.#take(JSON.parse(line), known);
        if (this.abort === abort) this.found();
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      this.wrong = "the server does not answer";
    } finally {
      if (this.abort === abort) {
        this.done = true;
        this.found();
      }
    }
  }

  #take(message, known) {
    for (const hit of message.hits) if (!known.has(hit[2])) this.hits.push(hit);
    this.share = message.size ? message.read / message.size : 1;
    if (!message.done) return;
    this.more = message.more;
    this.wrong = message.wrong;
    this.next = { offset: message.offset, line: message.line };
  }

  /** Make the first hit at byte `offset` or later the current one; the last if there is none and the search is over. */
  settle(offset) {
    const at = this.#after(offset);
    if (at < this.hits.length) this.current = at;
    else if (this.done && this.hits.length) this.current = this.hits.length - 1;
    return this.hits[this.current] ?? null;
  }

  /** The hit `by` places on, around the ends. */
  step(by) {
    if (!this.hits.length) return null;
    this.current = (this.current + by + this.hits.length) % this.hits.length;
    return this.hits[this.current];
  }

  /** "3 of 120", "no match", "12 so far, 40 %". */
  get text() {
    if (this.wrong) return this.wrong;
    if (!this.asked) return "";
    const count = `${this.hits.length.toLocaleString("en")}${this.more ? "+" : ""}`;
    if (!this.done) return this.hits.length ? `${count} so far` : `${Math.floor(this.share * 100)} %`;
    if (!this.hits.length) return "no match";
    return this.current >= 0 ? `${(this.current + 1).toLocaleString("en")} of ${count}` : `${count} lines`;
  }

  #after(offset) {
    let low = 0;
    let high = this.hits.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.hits[middle][2] < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
