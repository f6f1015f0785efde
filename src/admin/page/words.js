// Numbers and states as people say them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (number) => whole.format(number);
export const some = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

/** `5 %`, `0.25 %`, `38 %`. */
export function percent(number) {
  if (number === null || number === undefined) return "–";
  const digits = number === 0 || number >= 10 ? 0 : number >= 1 ? 1 : number >= 0.01 ? 2 : 3;
  return `${Number(number.toFixed(digits))} %`;
}

/** A weight has two digits after the point, and all of them count. */
export const weight = (number) => `${Number(number.toFixed(2))} %`;

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

export const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
export const moment = (at) => new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });

/** `v42 on green`. */
export function release(side) {
  if (!side) return "nobody";
  return side.version ? `${side.version} on ${side.upstream}` : side.upstream;
}

export const underWay = (bot) => ["progressing", "paused", "held"].includes(bot.phase);
export const isSplit = (bot) => bot.weight_percent > 0 || underWay(bot);

/** One sentence: what is going on. */
export function nowHappening(bot) {
  const canary = release(bot.canary);
  if (bot.waits_for_human) return `Waits for you: ${bot.waits_for_human.text}.`;
  switch (bot.phase) {
    case "progressing":
    case "held":
      return bot.hold_text ? `Waits: ${bot.hold_text}.` : "About to go on.";
    case "paused":
      return `Paused${bot.hold_text && bot.hold_reason !== "paused" ? `: ${bot.hold_text}` : ""}. A failing canary still goes to zero.`;
    case "manual":
      return bot.hold_text ? `Set by hand: ${bot.hold_text}.` : `Set by hand: serin raises nothing, and takes ${canary} to zero if it fails.`;
    case "aborted":
      return `${bot.quarantine.at(-1) ? `${release(bot.quarantine.at(-1))} was taken back: ${bot.quarantine.at(-1).why}` : "The last release was taken back"}. Everybody is on ${release(bot.stable)}.`;
    case "promoted":
      return `Everybody is on ${release(bot.stable)}.`;
    default:
      return bot.hold_text ? `${bot.hold_text}.` : `Everybody is on ${release(bot.stable)}; nothing is rolled out.`;
  }
}

/** What a change did, in a few words. */
export function done(row) {
  const moved = row.from_percent === row.to_percent ? "" : `: ${weight(row.from_percent)} → ${weight(row.to_percent)}`;
  return `${row.decision.replaceAll("_", " ")}${moved}`;
}

export function by(row) {
  return row.actor_kind === "ratchet" ? "by serin itself" : `by ${row.actor}`;
}
