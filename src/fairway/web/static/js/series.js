// Numbers for charts. Pure.

/** An exponential moving average of the points' values, without the pull of its first value. `weight`: 0 (as they are) to below 1. */
export function smoothed(points, weight) {
  if (!weight) return points;
  let sum = 0;
  let norm = 0;
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, y];
    sum = sum * weight + y * (1 - weight);
    norm = norm * weight + (1 - weight);
    return [x, sum / norm];
  });
}

/** One column of the rows, undefined where a row has none. */
export function columnOf(rows, name) {
  return rows.map((row) => row[name]);
}

/** Are all values that there are numbers? */
export function isNumeric(values) {
  const known = values.filter((value) => value !== undefined && value !== null);
  return known.length > 0 && known.every((value) => typeof value === "number");
}
