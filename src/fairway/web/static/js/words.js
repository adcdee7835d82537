// Numbers and times in words, as the server spells them. Pure.

/** "34 ms", "4.2 s", "3 min 5 s". */
export function spellDuration(seconds) {
  if (seconds < 0.9995) return `${Math.round(Math.max(seconds, 0) * 1000)} ms`;
  if (seconds < 59.95) return seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  const two = (a, unit, b, small) => (b ? `${a} ${unit} ${b} ${small}` : `${a} ${unit}`);
  if (whole < 3600) return two(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 86400) return two(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return two(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}
