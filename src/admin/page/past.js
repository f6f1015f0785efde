// What happened to a bot, the newest first.

import { h } from "./dom.js";
import { by, count, local, moment, percent, some, worth } from "./words.js";

/** So many are shown at first: on a phone the rest is far below. */
const FEW = 6;
const BACK = new Set(["abort", "trip", "undo", "retreat"]);

/** `all`: show more than the last few; `older`: reads what is still before, or none; `more()`: asks for all. */
export function past(rows, all, more, older) {
  if (!rows.length) return h("p", { class: "soft" }, "Nothing yet.");
  const shown = all ? rows : rows.slice(0, FEW);
  const next = shown.length < rows.length ? more : older;
  return [h("ol", { class: "history" }, shown.map(item)), next && h("button", { type: "button", class: "plain", "data-key": "older", click: next }, "Older")];
}

function item(row) {
  return h("li", null,
    h("div", { class: "row" }, h("span", { class: `strong ${BACK.has(row.decision) ? "bad" : ""}` }, local(row.text)), h("span", { class: "soft" }, by(row)),
      h("time", { class: "soft small end", datetime: row.at }, moment(row.at))),
    row.why && h("p", { class: "small" }, local(row.why)), row.reason && h("p", { class: "small" }, `“${row.reason}”`),
    row.evidence && h("details", { class: "small" }, h("summary", null, "What was known"), h("dl", { class: "pairs" }, pairs(row.evidence).map(([name, text]) => [h("dt", null, name), h("dd", null, text)])),
      h("p", { class: "soft" }, `Revision ${row.revision}, ${row.phase}.`)));
}

function pairs(evidence) {
  const rate = (part, all) => (all ? ` (${percent((part / all) * 100)})` : "");
  const track = (it) => `${some(it.requests, "request")}, ${some(it.errors, "error")}${rate(it.errors, it.requests)}, ${count(it.late)} late, ${count(it.rejected)} rejected, ${some(it.buckets, "bucket")}`;
  const blamed = evidence.leading && evidence.verdict !== "good" ? `, most of it from ${evidence.leading.replaceAll("_", " ")}` : "";
  return [
    ["evidence", `E = ${worth(evidence.e_value)} (${evidence.verdict})${blamed}`],
    ["errors it may add", evidence.harm_could_be_percent < 100 ? `up to ${percent(evidence.harm_could_be_percent)} of the requests` : "not bounded yet"],
    ["stable", track(evidence.stable)],
    ["canary", track(evidence.canary)],
    ["examined", `${evidence.examined.open} open, ${evidence.examined.refuted} fail on stable too, ${evidence.examined.went_away} recovered`],
  ];
}
