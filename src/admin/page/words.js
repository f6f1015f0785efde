// Numbers and states as people say them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (number) => whole.format(number);
export const some = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** `5 %`, `0.25 %`, `38 %`; the space does not break. */
export function percent(number) {
  if (number === null || number === undefined) return "–";
  const size = Math.abs(number);
  const digits = size === 0 || size >= 10 ? 0 : size >= 1 ? 1 : size >= 0.01 ? 2 : 3;
  return `${Number(number.toFixed(digits))}\u00a0%`;
}

/** A weight has two digits after the point, and all of them count. */
export const weight = (number) => `${Number(number.toFixed(2))}\u00a0%`;

export function millis(number) {
  if (number === null || number === undefined) return "–";
  if (number >= 1000) return `${(number / 1000).toPrecision(3)} s`;
  return `${Number(number.toPrecision(number >= 100 ? 3 : 2))} ms`;
}

/** Two figures of the evidence are enough to know whether to worry. */
export function worth(e) {
  if (e === null || e === undefined) return "–";
  return e < 10 ? e.toFixed(1) : e < 1e6 ? count(e) : e.toExponential(0);
}

export function lasting(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at < 0) return "0 s";
  const [size, unit] = parts[at];
  const rest = parts[at + 1] ? Math.floor((seconds % size) / parts[at + 1][0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest && at < 3 ? ` ${rest} ${parts[at + 1][1]}` : ""}`;
}

export const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = (at) => new Date(at).toLocaleDateString([], { dateStyle: "medium" });
export const moment = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

/** Nearer than this a time alone can mean no other day. */
const NEAR_MS = 12 * 3600000;

/** The time alone where it is today or near, else with its day. */
export const when = (at) => (day(at) === day(Date.now()) || Math.abs(at - Date.now()) < NEAR_MS ? clock(at) : `${day(at)}, ${clock(at)}`);

const TIMES = /(?:(\d{4})-(\d\d)-(\d\d) )?(\d\d):(\d\d) UTC/g;

/**
 * serin's sentences have their times in UTC, without the day where it is today's there: here they become the reader's. A
 * number stays on the line of its unit.
 */
export function local(text) {
  const today = new Date();
  const read = (_, year, month, date, hour, minute) =>
    when(Date.UTC(year ?? today.getUTCFullYear(), month ? month - 1 : today.getUTCMonth(), date ?? today.getUTCDate(), hour, minute));
  return text.replace(TIMES, read).replace(/(\d) (%|s|min|h|d|ms)(?![a-z])/g, "$1\u00a0$2");
}

/** `v42 on green`. */
export function release(side) {
  if (!side) return "nobody";
  return side.version ? `${side.version} on ${side.upstream}` : side.upstream;
}

/** What people call it: its version, else its upstream. */
export const label = (side) => side?.version ?? side?.upstream ?? "the canary";

export const underWay = (bot) => ["progressing", "paused", "held"].includes(bot.phase);
export const isSplit = (bot) => bot.weight_percent > 0 || underWay(bot);

/** A refusal as a sentence of its own. Names stay as they are written. */
export const sentence = (text) => (/^(?!serin)[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text) + (/[.!?”]$/.test(text) ? "" : ".");

export function by(row) {
  return row.actor_kind === "ratchet" ? "by serin itself" : row.actor_kind === "config" ? "by the config" : `by ${row.actor}`;
}
