// What leads a bot's page, for five seconds: what is happening, whether customers are safe, what comes next, what to do. The
// words are serin's own; here they get a shape.

import { drawing, h } from "./dom.js";
import { by, isSplit, label, lasting, local, release, underWay, weight, when } from "./words.js";

/** What an urgency looks like and is called: each differs by its shape, and not by its colour alone. */
const URGENCY = {
  act: { word: "Needs you", path: () => [h("path", { class: "solid", d: "M12 1.5 23.5 22H.5Z" }), h("path", { class: "cut", d: "M12 8.5v6.5M12 18v1.5" })] },
  watch: { word: "Under way", path: () => [h("circle", { class: "open", cx: 12, cy: 12, r: 9.5 }), h("path", { class: "solid", d: "M12 2.5a9.5 9.5 0 0 1 0 19Z" })] },
  none: { word: "At rest", path: () => [h("circle", { class: "open", cx: 12, cy: 12, r: 9.5 }), h("path", { class: "open", d: "m7.5 12.5 3 3 6-7" })] },
};

export const urgencyWord = (bot) => URGENCY[bot.summary.urgency].word;

export const sign = (bot) => drawing(URGENCY[bot.summary.urgency].path(), { class: `sign ${bot.summary.urgency}` });

/** `progressing`, where that says more than the word beside it. */
const phase = (bot) => (bot.phase === "idle" ? null : h("span", { class: "soft phase" }, bot.phase));

export function banner(bot) {
  const { state, customers, next, todo } = bot.summary;
  const line = (name, text, look) => text && h("div", { class: look }, h("dt", null, name), h("dd", null, local(text)));
  return [
    h("div", { class: "row" }, sign(bot), h("h1", { tabindex: -1, id: "title" }, bot.bot), h("span", { class: `badge ${bot.summary.urgency}` }, urgencyWord(bot)), phase(bot), h("span", { class: "soft small end revision" }, `revision ${bot.revision}`)),
    h("p", { class: "state" }, local(state)),
    h("dl", { class: "lines" }, line("Customers", customers), line("Next", next), line("To do", todo, "todo")),
  ];
}

/** Who is where, as a picture and in numbers. */
export function shares(bot) {
  const share = bot.weight_percent;
  const canary = isSplit(bot) && bot.canary;
  const side = (track, text) => h("span", { class: track }, text);
  return [
    h("div", { class: "share", "aria-hidden": "true" }, bar(share)),
    h("p", { class: "row small sides" }, canary && side("canary", [h("b", { class: "number" }, weight(share)), ` canary: ${release(bot.canary)}`]),
      side("stable", [h("b", { class: "number" }, weight(100 - share)), ` stable: ${release(bot.stable)}`])),
  ];
}

export function bar(share) {
  const filled = h("span");
  filled.style.width = `${share}%`;
  return share > 0 ? filled : null;
}

/** The way of a rollout, and where on it the canary is. */
export function steps(bot) {
  const { rollout, step } = bot;
  if (!rollout || step === null) return [];
  const bakes = rollout.in_step_seconds !== null;
  const left = rollout.bake_seconds - rollout.in_step_seconds;
  const each = (share, i) => {
    const here = i === step;
    return h("li", { class: i < step ? "done" : here ? "here" : "", "aria-current": here ? "step" : null }, h("span", null, weight(share)),
      bakes && here && h("progress", { max: rollout.bake_seconds, value: Math.min(rollout.in_step_seconds, rollout.bake_seconds), "aria-label": "baked" }));
  };
  const text = `Step ${step + 1} of ${rollout.steps_percent.length}`;
  return [h("ol", { "aria-label": "Steps" }, rollout.steps_percent.map(each)),
    h("p", { class: "small soft" }, bakes ? `${text}, ${left > 0 ? `bakes for ${lasting(left)} more` : `baked, ${lasting(rollout.in_step_seconds)} here`}.` : `${text}.`)];
}

/** What else is so: who did the last thing, what stands in the way, what to go back to. */
export function facts(bot) {
  const { since, desired, previous, frozen_by: frozen } = bot;
  const at = (seconds) => when(seconds * 1000);
  const said = (reason) => (reason ? `: “${reason}”` : "");
  const waits = desired && !desired.effective ? (desired.waits ?? (desired.held_by ? `held by ${desired.held_by.replaceAll("_", " ")}` : "about to start")) : null;
  const pairs = [
    since && ["Since", `${at(since.at)}, ${by({ ...since, actor: since.by })}${said(since.reason)}`],
    frozen ? ["Frozen", `${frozen.at === null ? "" : `since ${at(frozen.at)} `}by ${frozen.by}${said(frozen.reason)}: nothing rises until somebody thaws it`] : bot.frozen && ["Frozen", `${bot.frozen}: nothing rises`],
    waits && ["Config wants", `${release(desired)}: ${waits}`],
    previous && ["Before", `${release(previous)}, idle for ${lasting(previous.idle_seconds)}, ${previous.free ? "free to tear down" : "there for an undo"}`],
    ...bot.quarantine.map((one) => ["Quarantined", `${release(one)}, taken back${one.from_percent ? ` at ${weight(one.from_percent)}` : ""}${one.at ? `, ${at(one.at)}` : ""}: ${one.why}`]),
    ["Last drill", bot.drilled_at ? `went well, ${at(bot.drilled_at)}` : "none since serin began to look after this bot"],
  ];
  return list(pairs);
}

/** What is rarely asked. */
export function details(bot) {
  const at = (seconds) => when(seconds * 1000);
  return list([
    bot.rollout && ["Rollout", `number ${bot.rollout.attempt}, policy ${bot.rollout.policy}${bot.rollout.started_at ? `, started ${at(bot.rollout.started_at)}` : ""}${bot.rollout.ended_at ? `, ended ${at(bot.rollout.ended_at)}` : ""}`],
    ["Addresses", [`stable ${bot.stable.url}`, underWay(bot) && bot.canary && `canary ${bot.canary.url}`].filter(Boolean).join(", ")],
    ["Buckets", isSplit(bot) ? `${weight(bot.actual_percent)} of them are on the canary: they are drawn one by one` : "all are on stable"],
  ]);
}

const list = (pairs) => h("dl", { class: "pairs small" }, pairs.filter(Boolean).map(([name, text]) => [h("dt", null, name), h("dd", null, local(text))]));

/** `find(workspace)` explains one. */
export function alarms(bot, find) {
  const { concentration } = bot;
  return [
    bot.history_error && h("p", { class: "alarm" }, `The history cannot be written: ${bot.history_error}. Nothing rises until it can.`),
    !bot.durable && !bot.history_error && h("p", { class: "note" }, "Nothing is kept on a disk: a restart forgets this rollout."),
    bot.warning && h("p", { class: "note" }, local(bot.warning)),
    concentration && h("p", { class: "note" }, local(concentration.text), concentration.workspace && [" Its name is ", h("button", { type: "button", class: "link", click: () => find(concentration.workspace) }, concentration.workspace), "."]),
  ];
}

/** For the tab. */
export const title = (bot) => (bot.summary.urgency === "act" ? `(!) ${bot.bot} needs you – serin` : `${bot.bot}: ${label(bot.canary ?? bot.stable)} – serin`);
