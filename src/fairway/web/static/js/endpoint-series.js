// What an endpoint did over time, as columns: joined with what is new, cut to what is shown. Pure.

export const KEPT_S = 1800;

/** The columns with those of `more` after them (points that are there already are not taken twice), the last `KEPT_S` seconds. */
export function joined(series, more, kept = KEPT_S) {
  const last = series.at.at(-1) ?? -Infinity;
  const from = more.at.findIndex((at) => at > last);
  const fresh = from < 0 ? [] : more.at.slice(from);
  const newest = fresh.at(-1) ?? last;
  const begin = series.at.findIndex((at) => at > newest - kept);
  const cut = begin < 0 ? series.at.length : begin;
  const join = (old, add) => [...old.slice(cut), ...(from < 0 ? [] : add.slice(from))];
  const made = {};
  for (const [name, column] of Object.entries(series)) {
    if (name !== "rates") made[name] = join(column, more[name]);
  }
  made.rates = {};
  for (const number of new Set([...Object.keys(series.rates), ...Object.keys(more.rates)])) {
    made.rates[number] = join(series.rates[number] ?? series.at.map(() => 0), more.rates[number] ?? more.at.map(() => 0));
  }
  return made;
}

/** Pairs [milliseconds, value]; null where there is no value, so that a line breaks. A point that stands alone would be no line: it is a dot. */
export function pairs(series, column) {
  const none = (n) => column[n] === null || column[n] === undefined;
  return series.at.map((at, n) => {
    const pair = [at * 1000, column[n]];
    return !none(n) && none(n - 1) && none(n + 1) ? { value: pair, symbol: "circle", symbolSize: 4 } : pair;
  });
}

/** From when to when a chart goes, in milliseconds: the last half hour, less as long as there is less, and never less than two minutes. */
export function spanOf(series, now) {
  const newest = series.at.at(-1) ?? now;
  const oldest = series.at[0] ?? newest;
  return [Math.max(newest - KEPT_S, Math.min(oldest, newest - 120)) * 1000, newest * 1000];
}

/** The largest of the numbers, 0 for none. */
export function most(column) {
  return column.reduce((found, value) => Math.max(found, value ?? 0), 0);
}

/** A rate in few characters. */
export function spellRate(value) {
  if (value <= 0) return "0";
  return value < 10 ? String(Number(value.toFixed(1))) : Math.round(value).toLocaleString("en");
}

/** Milliseconds as the server spells them. */
export function spellMs(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0 ms";
  if (value >= 999.5) return `${(value / 1000).toFixed(value < 9950 ? 1 : 0)} s`;
  return value < 0.995 ? `${Number(value.toFixed(2))} ms` : value < 9.95 ? `${Number(value.toFixed(1))} ms` : `${Math.round(value)} ms`;
}
