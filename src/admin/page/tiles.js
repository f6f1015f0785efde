// A metric's tile: what both tracks have now, how far they are apart, and how it came to be. What has nothing to show is
// folded, and opens at a click.

import { chart, shape } from "./chart.js";
import { h, place } from "./dom.js";
import { difference } from "./interval.js";
import { rates, series } from "./series.js";
import { count, local, millis, percent, weight, when, worth } from "./words.js";

const SUSPICIOUS = 20;
const HOUR_MS = 3600000;
/** A rollout that has just begun has a scale of time all the same. */
const LEAST_MS = 60000;
/** Latencies that differ less are the same to whoever waits. */
const ALIKE = 0.05;
const UNNOTICED_MS = 2;
const TRACKS = ["canary", "stable"];
/** Where there is little room, only what leads is open. */
const narrow = matchMedia("(max-width: 40rem)");

/** What happened, as marks; all else in the history moves nobody. */
const MARKS = {
  start: "up", advance: "up", set_weight: "up", resume: "up", promote: "up", switch: "up", adopt: "other", retreat: "down", abort: "down", trip: "down", undo: "down",
  withdraw: "down", pause: "hold", freeze: "hold", thaw: "other", begin: "other",
};

/** `now()`: { bot, points, rows }, the newest row first. Returns the tiles' section and `draw()`. */
export function tiles(now) {
  let range = null;
  const choice = h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, "Time shown"), ["rollout", "1 h", "all"].map((name) =>
    h("label", null, h("input", { type: "radio", name: "range", value: name, change: () => choose(name) }), h("span", null, name === "all" ? "All" : name === "rollout" ? "Rollout" : name))));
  const all = [...shares(), weights(), evidence(), latency("Latency, median", "p50_ms"), latency("Latency, slowest 1 of 100", "p99_ms"), traffic()].map((metric) => tile(metric, (time) => all.forEach((one) => one.point(time))));
  const key = [["up", "raised"], ["down", "taken back"], ["hold", "paused, frozen"], ["other", "other change, or serin's start"]];
  const legend = h("p", { class: "row small soft legend" }, h("span", { class: "line-key canary" }, "canary"), h("span", { class: "line-key stable" }, "stable"),
    key.map(([kind, text]) => h("span", { class: "mark-key" }, h("svg", { viewBox: "-6 -6 12 12", "aria-hidden": "true" }, shape(kind)), text)));

  const since = h("p", { class: "small soft" });

  function choose(name) {
    range = name;
    draw();
  }

  function draw() {
    const { bot, points, rows } = now();
    if (!bot) return;
    const shown = range ?? (recent(bot) ? "rollout" : "1 h");
    for (const box of choice.querySelectorAll("input")) {
      box.checked = box.value === shown;
      box.disabled = box.value === "rollout" && !bot.rollout?.started_at;
    }
    const [begin, end] = span(shown, bot, rows);
    const inside = (at) => at >= begin && at <= end;
    const marks = rows.filter((row) => MARKS[row.decision]).map((row) => ({ at: new Date(row.at).getTime(), kind: MARKS[row.decision], text: local(row.text) })).filter((mark) => inside(mark.at));
    const seen = points.filter((point) => inside(point.at * 1000));
    const known = points.length && points[0].at * 1000 < end ? points[0].at * 1000 : null;
    since.textContent = `Counted since ${when(bot.counted_since * 1000)}, when the split last changed. A point of a line stands for about 100 requests, a hollow one for fewer than 30.`;
    all.forEach((one) => one.show({ bot, rows, points: seen, begin, end, marks, known }));
  }

  return { section: [h("div", { class: "row" }, h("h2", { id: "charts" }, "Both tracks"), choice), legend, since, h("div", { class: "tiles" }, all.map((one) => one.element))], draw };
}

/** Is the rollout what somebody wants to see? */
function recent({ rollout }) {
  return Boolean(rollout?.started_at) && (rollout.ended_at === null || Date.now() - rollout.ended_at * 1000 < HOUR_MS);
}

/** The time that is drawn, in ms. */
function span(range, bot, rows) {
  const now = Date.now();
  if (range === "1 h") return [now - HOUR_MS, now];
  if (range === "all") return [Math.min(new Date(rows.at(-1)?.at ?? now).getTime(), now - HOUR_MS), now];
  const begin = bot.rollout.started_at * 1000;
  const last = bot.rollout.ended_at === null ? now : bot.rollout.ended_at * 1000;
  const spare = Math.max((last - begin) * 0.05, LEAST_MS / 6);
  const end = Math.min(now, last + spare);
  return [Math.min(begin - spare, end - LEAST_MS), end];
}

/**
 * One tile. `metric`: `name`, `chart` (its options), `points(shown)`: the points of each line, `values(bot, lines)`: [[what, text, look]],
 * `says(bot, lines)`: a line about it, `flat(lines, bot)`: there is nothing to see, `limits(bot)`.
 */
function tile(metric, pointed) {
  const drawn = chart({ name: metric.name, pointed, ...metric.chart });
  const head = place("div", { class: "tile-head" });
  const says = place("p", { class: "small" });
  let chosen = false;
  const element = h("details", { class: "tile" }, h("summary", { click: () => (chosen = true) }, h("h3", null, metric.name), head), says, drawn.figure);
  return {
    element,
    point: drawn.point,
    show(shown) {
      const { bot } = shown;
      const lines = metric.points(shown);
      const flat = metric.flat(lines, bot);
      if (!chosen) element.open = !flat && (metric.leads || !narrow.matches);
      element.classList.toggle("flat", flat);
      const values = metric.values(bot, lines);
      head.show(values, () => values.map(([what, text, look]) => h("span", { class: "value" }, h("span", { class: `small ${look}` }, what), " ", h("b", { class: "number" }, text))));
      const text = metric.says(bot, lines);
      says.show(text, () => text);
      drawn.figure.setAttribute("aria-label", [metric.name, ...values.map(([what, value]) => `${what} ${value}`), text].filter(Boolean).join(", "));
      drawn.show({ ...shown, lines, limits: metric.limits?.(bot) ?? [], known: metric.known ? shown.begin : shown.known });
    },
  };
}

const both = (steps) => TRACKS.map((track) => ({ name: track, look: track, steps }));
const tried = (bot) => bot.canary !== null && bot.weight_percent > 0;
/** Both tracks' values, or stable's alone where nobody is on a canary. */
const ofBoth = (bot, value) => TRACKS.filter((track) => track === "stable" || tried(bot)).map((track) => [track, value(track), track]);

function shares() {
  return [["Errors", "errors"], ["Late", "late"], ["Rejected", "rejected"]].map(([name, what]) => ({
    name,
    chart: { lines: both(), format: percent, least: 1, most: 100, },
    points: ({ points }) => TRACKS.map((track) => series(points, track).map((point) => ({ at: point.at, wide: point.to - point.from, hollow: point.hollow, value: (point[what] / point.requests) * 100 }))),
    values: (bot) => ofBoth(bot, (track) => {
      const { requests, [what]: part } = bot.tracks[track];
      return requests ? `${percent((part / requests) * 100)} (${count(part)} of ${count(requests)})` : "no requests";
    }),
    says: (bot) => (apart(bot, what) ? compared(apart(bot, what)) : ""),
    limits: (bot) => tolerated(bot, what),
    // Few of both tracks alike are nothing to look at, unless they are errors.
    flat: (lines, bot) => lines.flat().every(({ value }) => value < (what === "errors" ? 0.001 : 3)) && (what === "errors" ? TRACKS.every((track) => bot.tracks[track].errors === 0) : !(apart(bot, what)?.low > 0)),
    leads: what === "errors",
  }));
}

/** The difference of the tracks' shares, where there are both. */
function apart(bot, what) {
  const share = ({ requests, [what]: part }) => ({ part, all: requests });
  return tried(bot) ? difference(share(bot.tracks.canary), share(bot.tracks.stable)) : null;
}

/** The difference in words, with its interval. */
function compared({ difference: by, low, high }) {
  const points = (share) => `${share > 0 ? "+" : share < 0 ? "−" : ""}${percent(Math.abs(share) * 100).replace("%", "points")}`;
  const interval = `${points(by)}, 95\u00a0% interval ${points(low)} to ${points(high)}`;
  return low > 0 ? `More on the canary: ${interval}.` : high < 0 ? `Fewer on the canary: ${interval}.` : `No difference beyond chance: ${interval}.`;
}

/** The lines that the canary should stay below: the guard's limit, and the errors that a raise tolerates. */
function tolerated({ tolerated: most, tracks }, what) {
  const limit = { errors: most.errors_percent, late: most.late_percent }[what];
  const added = what === "errors" ? most.added_errors_percent : null;
  const { requests, errors } = tracks.stable;
  return [
    limit && { at: limit, name: `limit ${percent(limit)}` },
    added && requests && { at: (errors / requests) * 100 + added, name: `tolerated before the next step: ${percent(added).replace("%", "points")} over stable`, mild: true },
  ].filter(Boolean);
}

function latency(name, what) {
  return {
    name,
    chart: { lines: both(), format: millis, least: 10, hint: "To the first byte of the answer." },
    points: ({ points }) => TRACKS.map((track) => series(points, track).filter((point) => point[what] !== null).map((point) => ({ at: point.at, wide: point.to - point.from, hollow: point.hollow, value: point[what] }))),
    values: (bot, lines) => ofBoth(bot, (track) => millis(lines[TRACKS.indexOf(track)].at(-1)?.value)),
    says: (bot, lines) => {
      const [canary, stable] = lines.map((line) => line.at(-1)?.value);
      if (!tried(bot) || !canary || !stable) return "";
      if (Math.abs(canary - stable) < Math.max(ALIKE * stable, UNNOTICED_MS)) return "About the same on both.";
      return canary > stable ? `The canary takes ${millis(canary - stable)} longer.` : `The canary takes ${millis(stable - canary)} less.`;
    },
    limits: ({ tolerated: most }) => (most[what] ? [{ at: most[what], name: `limit ${millis(most[what])}` }] : []),
    flat: ([canary]) => canary.length === 0,
  };
}

function traffic() {
  const a = (value) => (value === undefined ? "–" : `${Number(value.toPrecision(2))}`);
  return {
    name: "Requests a second",
    chart: { lines: both(), format: (value) => String(Number(value.toPrecision(2))), least: 1 },
    points: ({ points }) => TRACKS.map((track) => rates(points, track).map((point) => ({ at: point.at, wide: point.to - point.from, value: point.rate }))),
    values: (bot, lines) => ofBoth(bot, (track) => a(lines[TRACKS.indexOf(track)].at(-1)?.value)),
    says: () => "",
    flat: ([canary]) => canary.every(({ value }) => value === 0),
  };
}

/** From the history, so that a rollout of days is seen whole, and a restart leaves no gap. */
function weights() {
  return {
    name: "Share of the canary",
    known: true,
    chart: { lines: [{ name: "canary", look: "canary", steps: true }], format: weight, least: 5, most: 100, hint: "From the history, which a restart does not end." },
    points: ({ rows, begin, end, bot }) => {
      const points = [];
      for (const row of rows.toReversed()) {
        const at = new Date(row.at).getTime();
        if (at > end) break;
        // A promotion ends the canary's share with everybody, and not with nobody.
        if (row.decision === "promote") points.push({ at, value: 100 }, { at, value: 100, ends: true });
        else points.push({ at, value: row.to_percent, ends: row.to_percent === 0 && !rolling(row) });
      }
      const first = points.findLastIndex((point) => point.at <= begin);
      if (first < 0) return [points.length ? points : [{ at: begin, value: bot.weight_percent }]];
      return [[{ ...points[first], at: begin }, ...points.slice(first + 1)]];
    },
    values: (bot) => [["now", tried(bot) ? weight(bot.weight_percent) : bot.phase === "promoted" ? "everybody" : "nobody", "canary"]],
    says: () => "",
    leads: true,
    flat: ([line], bot) => !tried(bot) && line.every(({ value }) => value === 0),
  };
}

const rolling = (row) => ["progressing", "paused", "held", "manual"].includes(row.phase);

function evidence() {
  return {
    name: "Evidence against the canary",
    chart: { lines: [{ name: "E", look: "canary" }], format: worth, log: true, least: 300, hint: "1 says nothing; the higher, the surer that the canary does harm." },
    points: ({ points }) => [points.filter((point) => point.e_value !== null).map((point) => ({ at: point.at * 1000, value: point.e_value, wide: point.seconds * 1000 }))],
    values: (bot) => [["E", tried(bot) ? worth(bot.evidence.e_value) : "–", "canary"]],
    says: (bot) => {
      const { e_value: e, abort_at: abort } = bot.evidence;
      if (!tried(bot) || e === null) return "Nobody is on a canary to be judged.";
      return e < SUSPICIOUS ? `Nothing suspicious: that begins at ${SUSPICIOUS}, and at ${count(abort)} the canary is taken back.` : `Suspicious; at ${count(abort)} the canary is taken back.`;
    },
    limits: (bot) => [{ at: bot.evidence.abort_at, name: `taken back at ${count(bot.evidence.abort_at)}` }, { at: SUSPICIOUS, name: "suspicious", mild: true }],
    flat: ([line]) => line.every(({ value }) => value < 3),
    leads: true,
  };
}
