// The last hour's slots as points to draw. A share or a quantile of a few requests jumps without meaning anything, so
// neighbouring slots are taken together until they have enough.

/** One error among so many is 1 %. */
const ENOUGH = 100;
/** With fewer a point says little. */
const FEW = 30;
/** Longer than this a point would hide what happened. */
const LONGEST_MS = 300000;

/**
 * One track's points: { at, from, to, requests, hollow, errors, late, rejected, p50_ms, p99_ms }. `hollow`: of too few
 * requests to say much. Latencies of several slots are their mean by requests, for quantiles cannot be added.
 */
export function series(points, track) {
  const made = [];
  let group = null;
  const close = () => {
    if (group?.requests) made.push(finish(group));
    group = null;
  };
  for (const { at, seconds, [track]: answered } of points) {
    const from = at * 1000;
    const to = from + seconds * 1000;
    if (group && (from - group.from >= LONGEST_MS || from - group.to > LONGEST_MS)) close();
    if (!answered.requests) continue;
    group ??= { from, to, requests: 0, errors: 0, late: 0, rejected: 0, p50: 0, p99: 0, timed: 0 };
    group.to = to;
    for (const name of ["requests", "errors", "late", "rejected"]) group[name] += answered[name];
    if (answered.p50_ms !== null) {
      group.timed += answered.requests;
      group.p50 += answered.p50_ms * answered.requests;
      group.p99 += answered.p99_ms * answered.requests;
    }
    if (group.requests >= ENOUGH) close();
  }
  close();
  return made;
}

function finish(group) {
  const mean = (sum) => (group.timed ? sum / group.timed : null);
  return { ...group, at: (group.from + group.to) / 2, hollow: group.requests < FEW, p50_ms: mean(group.p50), p99_ms: mean(group.p99) };
}

/** So many points are a calm line. */
const CALM = 60;

/** Requests a second. */
export function rates(points, track) {
  const made = [];
  const together = Math.ceil(points.length / CALM);
  for (let i = 0; i < points.length; i += together) {
    const some = points.slice(i, i + together);
    const seconds = some.reduce((sum, point) => sum + point.seconds, 0);
    const requests = some.reduce((sum, point) => sum + point[track].requests, 0);
    const [from, to] = [some[0].at * 1000, some.at(-1).at * 1000 + some.at(-1).seconds * 1000];
    made.push({ at: (from + to) / 2, from, to, requests, rate: seconds > 0 ? requests / seconds : 0, hollow: false });
  }
  return made;
}
