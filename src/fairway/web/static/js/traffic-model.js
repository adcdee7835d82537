// Shares of the traffic that always add up to 100. Pure.

const UNIT = 100; // hundredths of a percent: whole numbers add up without a rest

/**
 * The weights when that at `at` becomes `value`: the others share what is left as they did in `weights`. Whole percents stay whole.
 * Where all others had nothing, the first of them takes what is left.
 */
export function rebalance(weights, at, value) {
  const wanted = Math.min(100, Math.max(0, Number.isFinite(value) ? value : 0));
  const others = weights.map((_, n) => n).filter((n) => n !== at);
  if (!others.length) return [100];
  const whole = [...weights, wanted].every(Number.isInteger);
  const unit = whole ? 1 : UNIT;
  const mine = Math.round(wanted * unit);
  const rest = 100 * unit - mine;
  const sum = others.reduce((total, n) => total + weights[n], 0);
  const made = weights.map(() => 0);
  made[at] = mine;
  if (sum <= 0) {
    made[others[0]] = rest;
  } else {
    const exact = others.map((n) => [n, (rest * weights[n]) / sum]);
    for (const [n, share] of exact) made[n] = Math.floor(share + 1e-9);
    let left = rest - others.reduce((total, n) => total + made[n], 0);
    for (const [n] of exact.sort((a, b) => (b[1] % 1) - (a[1] % 1) || weights[b[0]] - weights[a[0]])) {
      if (left <= 0) break;
      made[n] += 1;
      left -= 1;
    }
  }
  return made.map((units) => units / unit);
}

/** "95", "2.5". */
export function spellWeight(weight) {
  return String(Number(weight.toFixed(2)));
}

/** The command line that sets these weights: `command` without them ("fairway traffic risk --on campus"). */
export function spellTraffic(command, numbers, weights) {
  const [, begin, target] = command.match(/^(.*?)( --on .*)?$/);
  const words = numbers.map((number, n) => [number, weights[n]]).filter(([, weight]) => weight > 0).sort((a, b) => a[0] - b[0]).map(([number, weight]) => `${number}=${spellWeight(weight)}`);
  return [begin, ...words].join(" ") + (target ?? "");
}
