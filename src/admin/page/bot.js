// One bot: where its rollout stands, what it waits for, what both tracks answer, who is touched, and what happened.

import { buttons, possible } from "./actions.js";
import { read } from "./api.js";
import { chart } from "./chart.js";
import { h, place } from "./dom.js";
import { by, count, done, isSplit, lasting, millis, moment, nowHappening, percent, release, some, underWay, weight, worth } from "./words.js";

const HISTORY = 50;
const TRAFFIC_EVERY_MS = 5000;
const SUSPICIOUS = 20;

export function botPage(name) {
  const path = `/v1/bots/${encodeURIComponent(name)}`;
  const parts = Object.fromEntries(["head", "alarms", "steps", "actions", "figures", "touched", "past"].map((part) => [part, place("div")]));
  for (const part of Object.values(parts)) Object.assign(part.style, { display: "contents" });
  let bot = null;
  let traffic = null;
  let rows = [];
  /** The last changes that came as events, the newest first. */
  let told = [];
  let more = false;
  let ended = false;
  const charts = makeCharts(() => bot, () => rows);

  const view = [
    h("section", { class: "card", "aria-label": "Rollout" }, parts.head, parts.alarms, parts.steps, parts.actions),
    h("section", { class: "card", "aria-labelledby": "charts" }, h("h2", { id: "charts" }, "The last hour"), h("div", { class: "cards" }, charts.map(({ figure }) => figure))),
    h("section", { class: "card", "aria-labelledby": "figures" }, h("h2", { id: "figures" }, "Both tracks since the split last changed"), parts.figures),
    h("section", { class: "card", "aria-labelledby": "touched" }, h("h2", { id: "touched" }, "Workspaces"), parts.touched, explain(path)),
    h("section", { class: "card", "aria-labelledby": "history" }, h("h2", { id: "history" }, "What happened"), parts.past),
  ];

  function show() {
    if (!bot) return;
    parts.head.show([bot.phase, bot.weight_percent, bot.actual_percent, bot.stable, bot.canary, bot.hold_text, bot.waits_for_human, bot.quarantine, traffic?.reach.now], () => head(bot, traffic));
    parts.alarms.show([bot.durable, bot.history_error, bot.frozen, bot.desired, bot.warning, bot.previous?.free, bot.evidence.text], () => alarms(bot));
    parts.steps.show([bot.rollout, bot.step, bot.phase], () => steps(bot));
    parts.actions.show(possible(bot).map((action) => action.name), () => buttons(() => bot, () => traffic, afterwards));
    parts.figures.show([bot.tracks, bot.stable, bot.canary], () => figures(bot));
    parts.touched.show([bot.evidence.examinations, bot.tracks.canary.active_buckets, traffic?.largest, traffic?.reach], () => touched(bot, traffic));
    parts.past.show([rows, more], () => history(rows, more && older));
  }

  function update(now) {
    if (now.bot !== name) return;
    bot = now;
    show();
  }

  async function news() {
    const [now, past, seen] = await Promise.all([read(path), read(`${path}/history?limit=${HISTORY}`), read(`${path}/traffic`)]);
    const oldest = past.changes.at(-1)?.revision ?? 0;
    const newest = past.changes[0]?.revision ?? 0;
    // What lowers, and what moves nobody, serves before it is on the disk: then it is not in what was read yet.
    const unwritten = told.filter((row) => row.revision > newest && row.revision <= now.revision);
    // What was looked up before stays, if nothing is missing between.
    const before = rows[0]?.revision >= oldest - 1 ? rows.filter((row) => row.revision < oldest) : [];
    if (!before.length) more = past.changes.length === HISTORY;
    [rows, traffic] = [[...unwritten, ...past.changes, ...before], seen];
    update(now);
    draw();
  }

  /** Most actions answer with the bot; all are changes, which come by themselves too. */
  const afterwards = (answer) => (answer.phase ? update(answer) : null);

  async function older() {
    const { changes } = await read(`${path}/history?limit=${HISTORY}&before=${rows.at(-1).revision}`);
    more = changes.length === HISTORY;
    rows = [...rows, ...changes];
    show();
  }

  async function look() {
    for (;;) {
      await new Promise((done) => setTimeout(done, TRAFFIC_EVERY_MS));
      if (ended) return;
      // What cannot be read now is read again; the line at the top says that serin does not answer.
      traffic = await read(`${path}/traffic`).catch(() => traffic);
      show();
      draw();
    }
  }

  function draw() {
    const points = (traffic?.points ?? []).map((point) => ({ ...point, at: point.at * 1000 }));
    charts.forEach((one) => one.draw(points));
  }

  function changed(row) {
    if (row !== null && row.bot !== name) return null;
    if (row !== null) told = [row, ...told.filter((other) => other.revision < row.revision)].slice(0, HISTORY);
    return news();
  }

  look();
  return { view, news, update, gone: () => {}, changed, end: () => (ended = true) };
}

function head(bot, traffic) {
  const reach = traffic?.reach.now;
  const split = isSplit(bot);
  return [
    h("div", { class: "row" }, h("h1", null, bot.bot), h("span", { class: `badge ${tone(bot)}` }, bot.waits_for_human ? `${bot.phase}: needs you` : bot.phase),
      h("span", { class: "soft end" }, `revision ${bot.revision}`)),
    h("p", null, nowHappening(bot)),
    h("div", { class: "row" }, h("span", { class: "big number" }, weight(bot.weight_percent)), h("span", null, "of the buckets on ", h("span", { class: "canary strong" }, split ? release(bot.canary) : "the canary"),
      split && reach ? ` = usually ${percent(reach.requests_percent)} of the requests` : "", split ? h("span", { class: "soft" }, ` (really ${weight(bot.actual_percent)} of buckets)`) : "")),
    h("div", { class: "share", "aria-hidden": "true" }, bar(bot.weight_percent)),
    h("p", { class: "row small" }, h("span", { class: "stable" }, `stable: ${release(bot.stable)}, ${bot.stable.url}`), bot.canary ? h("span", { class: "canary" }, `canary: ${release(bot.canary)}, ${bot.canary.url}`) : null),
  ];
}

export function bar(share) {
  const filled = h("span");
  filled.style.width = `${share}%`;
  return share > 0 ? filled : null;
}

export const tone = (bot) => (bot.phase === "aborted" ? "bad" : bot.waits_for_human ? "bad" : underWay(bot) || bot.phase === "manual" ? "canary" : "good");

function alarms(bot) {
  const { desired, previous, evidence } = bot;
  const waits = desired && !desired.effective ? (desired.waits ?? (desired.held_by ? `held by ${desired.held_by.replaceAll("_", " ")}` : "about to start")) : null;
  return [
    bot.history_error && h("p", { class: "alarm" }, `The history cannot be written: ${bot.history_error}. Nothing rises until it can.`),
    !bot.durable && !bot.history_error && h("p", { class: "note" }, "Nothing is kept: a restart forgets this rollout."),
    bot.frozen && h("p", { class: "note" }, `Frozen ${bot.frozen}: nothing rises.`),
    waits && h("p", { class: "note" }, `The config wants ${release(desired)}: ${waits}.`),
    bot.warning && h("p", { class: "note" }, bot.warning),
    evidence.text && isSplit(bot) && h("p", { class: evidence.e_value === null || evidence.e_value >= SUSPICIOUS ? "note" : "soft" }, `${evidence.text[0].toUpperCase()}${evidence.text.slice(1)}${evidence.leading ? `; worst: ${evidence.leading.replaceAll("_", " ")}` : ""}.`),
    previous && h("p", { class: "soft small" }, `Before: ${release(previous)}, ${previous.free ? "free to tear down" : "there for an undo"}.`),
  ];
}

function steps(bot) {
  const { rollout, step } = bot;
  if (!rollout || step === null) return [];
  const each = (share, i) => {
    const here = i === step;
    const baked = here && rollout.in_step_seconds !== null;
    const left = baked ? rollout.bake_seconds - rollout.in_step_seconds : 0;
    return h("li", { class: i < step ? "done" : here ? "here" : "", "aria-current": here ? "step" : null }, h("span", null, weight(share)),
      baked && h("progress", { max: rollout.bake_seconds, value: Math.min(rollout.in_step_seconds, rollout.bake_seconds), "aria-label": "baked" }),
      baked && h("span", { class: "small soft" }, left > 0 ? `${lasting(left)} to bake` : `baked, ${lasting(rollout.in_step_seconds)} here`));
  };
  return [h("ol", { class: "steps", "aria-label": "Steps" }, rollout.steps_percent.map(each)), h("p", { class: "small soft" }, `Attempt ${rollout.attempt}, policy ${rollout.policy}.`)];
}

function figures(bot) {
  const rate = (part, all) => (all ? percent((part / all) * 100) : "–");
  const row = (track) => {
    const counts = bot.tracks[track];
    const cells = ["errors", "late", "rejected"].map((what) => h("td", null, `${count(counts[what])} (${rate(counts[what], counts.requests)})`));
    return h("tr", null, h("th", { scope: "row", class: track }, `${track}: ${release(bot[track])}`), h("td", null, count(counts.requests)), cells,
      h("td", null, count(counts.active_buckets)), h("td", null, millis(counts.typical_ms)));
  };
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures of both tracks" }, h("table", { class: "figures" },
    h("thead", null, h("tr", null, ["Track", "Requests", "Errors", "Late", "Rejected", "Active buckets", "Typical latency"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", null, row("stable"), bot.canary && row("canary"))));
}

function touched(bot, traffic) {
  const { examinations } = bot.evidence;
  const { reach, largest } = traffic ?? { reach: {}, largest: [] };
  const looked = examinations.open + examinations.refuted + examinations.went_away;
  const table = (name, head, body) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, h("table", { class: "figures" }, h("caption", { class: "unseen" }, name),
    h("thead", null, h("tr", null, head.map((text) => h("th", { scope: "col" }, text)))), h("tbody", null, body)));
  return [
    h("p", null, `${some(bot.tracks.canary.active_buckets, "bucket")} touched by the canary in this split (a bucket is about a workspace while they are few). `,
      reach?.now && isSplit(bot) ? `${weight(reach.now.weight_percent)} of the buckets = usually ${percent(reach.now.requests_percent)} of requests. ` : "",
      reach?.next ? `The next step, ${weight(reach.next.weight_percent)}, reaches about ${some(reach.next.active_buckets, "active bucket")}, usually ${percent(reach.next.requests_percent)} of requests.` : ""),
    looked > 0 && h("p", null, `Under examination: ${count(examinations.open)}. ${count(examinations.refuted)} had trouble of their own; ${count(examinations.went_away)} recovered.`),
    looked > 0 && table("Examinations", ["Bucket", "Suspected for", "Finding", "Blocks", "Evidence"], examinations.buckets.map((one) =>
      h("tr", null, [count(one.bucket), one.suspected_for.replaceAll("_", " "), one.finding.replaceAll("_", " "), count(one.blocks), worth(one.e_value)].map((text) => h("td", null, text))))),
    largest.length > 0 && h("h3", { class: "small strong" }, "The largest"),
    largest.length > 0 && table("The largest buckets", ["Bucket", "Track", "Of all requests", "Requests", "Errors", "Late", "Rejected"], largest.map((one) =>
      h("tr", null, h("td", null, String(one.bucket)), h("td", { class: one.track }, one.track), [percent(one.requests_percent), count(one.requests), count(one.errors), count(one.late), count(one.rejected)].map((text) => h("td", null, text))))),
  ];
}

function explain(path) {
  const field = h("input", { type: "text", name: "workspace", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  const answer = h("p", { role: "status" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const it = await read(`${path}/explain?workspace=${encodeURIComponent(field.value.trim())}`);
      answer.replaceChildren(h("code", null, it.workspace), ` is in bucket ${it.bucket} and goes to `, h("span", { class: `${it.track} strong` }, `${it.track} (${it.upstream})`), `: ${it.reason}. By its rank ${it.attempt ? `in rollout ${it.attempt}` : "in a split by hand"} it is on the canary from ${weight(it.canary_from_percent)} on.`);
    } catch (error) {
      answer.textContent = error.message;
    }
  };
  return h("form", { submit }, h("div", { class: "row" }, h("label", { class: "explain" }, "Where does a workspace go?", field), h("button", { type: "submit", class: "plain" }, "Explain")), answer);
}

function history(rows, older) {
  const pairs = (evidence) => {
    const track = (it) => `${some(it.requests, "request")}, ${some(it.errors, "error")}, ${count(it.late)} late, ${count(it.rejected)} rejected, ${some(it.buckets, "bucket")}`;
    return [["evidence", `${worth(evidence.e_value)} (${evidence.verdict}), worst: ${evidence.leading.replaceAll("_", " ")}`], ["harm could be", evidence.harm_could_be_percent < 100 ? `${percent(evidence.harm_could_be_percent)} of requests` : "anything"], ["stable", track(evidence.stable)], ["canary", track(evidence.canary)],
      ["examined", `${evidence.examined.open} open, ${evidence.examined.refuted} had trouble of their own, ${evidence.examined.went_away} recovered`]];
  };
  const item = (row) => h("li", null,
    h("div", { class: "row" }, h("span", { class: `strong ${["abort", "trip", "undo"].includes(row.decision) ? "bad" : ""}` }, done(row)), h("span", null, by(row)), h("time", { class: "soft small end", datetime: row.at }, moment(row.at))),
    row.why && h("p", { class: "small" }, row.why), row.reason && h("p", { class: "small" }, `“${row.reason}”`),
    h("p", { class: "small soft" }, `revision ${row.revision}, ${row.phase}; stable ${row.stable}${row.canary ? `, canary ${row.canary}` : ""}`),
    row.evidence && h("details", { class: "small" }, h("summary", null, "What was known"), h("dl", { class: "pairs" }, pairs(row.evidence).map(([name, text]) => [h("dt", null, name), h("dd", null, text)]))));
  if (!rows.length) return h("p", { class: "soft" }, "Nothing yet.");
  return [h("ol", { class: "history" }, rows.map(item)), older && h("button", { type: "button", class: "plain", click: older }, "Older")];
}

const share = (what) => (answered) => (answered.requests ? (answered[what] / answered.requests) * 100 : null);

function makeCharts(bot, rows) {
  const both = (value) => ["stable", "canary"].map((track) => ({ name: track, look: track, value: (point) => (point[track] ? value(point[track], point) : null) }));
  const plain = (options) => {
    const made = chart(options);
    return { figure: made.figure, draw: (points) => made.show(points) };
  };
  return [
    weights(rows),
    plain({ name: "Errors", lines: both(share("errors")), format: percent, least: 1, most: 100 }),
    plain({ name: "Late", lines: both(share("late")), format: percent, least: 1, most: 100 }),
    plain({ name: "Rejected", lines: both(share("rejected")), format: percent, least: 1, most: 100 }),
    plain({ name: "Latency, median", lines: both((answered) => answered.p50_ms), format: millis, least: 10 }),
    plain({ name: "Latency, 99th percentile", lines: both((answered) => answered.p99_ms), format: millis, least: 10 }),
    plain({ name: "Requests a second", lines: both((answered, point) => answered.requests / point.seconds), format: (value) => Number(value.toPrecision(2)), least: 1 }),
    evidence(bot),
  ];
}

/** From the history, so that a day's rollout is seen whole, and a restart leaves no gap. */
function weights(rows) {
  const begin = () => {
    const hour = Date.now() - 3600000;
    const started = rows().find((row) => ["start", "switch", "adopt"].includes(row.decision));
    return started ? Math.min(hour, new Date(started.at).getTime() - 60000) : hour;
  };
  const made = chart({ name: "Weight", lines: [{ name: "canary", look: "canary", value: (point) => point.weight }], format: weight, least: 5, most: 100, steps: true, since: begin });
  const draw = () => {
    const since = begin();
    const points = rows().toReversed().map((row) => ({ at: new Date(row.at).getTime(), weight: row.decision === "promote" ? 0 : row.to_percent, before: row.from_percent }));
    const first = points.findIndex((point) => point.at >= since);
    const seen = first < 0 ? [] : points.slice(first);
    const known = first < 0 ? (points.at(-1)?.weight ?? 0) : seen[0].before;
    made.show([{ at: since, weight: known }, ...seen]);
  };
  return { figure: made.figure, draw };
}

function evidence(bot) {
  const made = chart({ name: "Evidence against the canary", lines: [{ name: "E", look: "canary", value: (point) => point.e_value ?? null }], format: worth, log: true, least: 300 });
  const draw = (points) => {
    const abort = bot()?.evidence.abort_at ?? 150;
    made.show(points, [{ at: abort, name: `abort at ${count(abort)}` }, { at: SUSPICIOUS, name: "suspicious", mild: true }]);
  };
  return { figure: made.figure, draw };
}
