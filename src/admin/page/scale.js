// The scales of a chart: where a value stands, and which round ones are written beside it.

import { clock } from "./words.js";

/** A scale ends here; beyond it only the readout goes on. */
const LARGEST = 1e30;
/** The bottom of a logarithmic scale. */
const LOW = 0.1;
const MINUTE = 60000;
const DAY = 1440 * MINUTE;
/** Between two times that are written; the last ones in whole days. */
const APART = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE).concat([1, 2, 7, 14, 30, 60, 180, 365].map((days) => days * DAY));
const TEXT_PX = 74;

/** The top of a scale: the next round number above. */
export function high(value, most, log) {
  return Math.min(most, LARGEST, nice(value, log));
}

function nice(value, log) {
  if (value <= 0) return 1;
  const ten = 10 ** Math.floor(Math.log10(value));
  if (log) return value <= ten ? ten : ten * 10;
  return [1, 2, 4, 5, 10].find((step) => step * ten >= value * 0.999) * ten;
}

/** From bottom to top. */
export function up(top, log, bottom, upper) {
  const share = (value) => (log ? Math.log(Math.max(value, LOW) / LOW) / Math.log(top / LOW) : value / top);
  const ticks = () => {
    if (!log) return [0, top / 2, top];
    const all = [];
    for (let value = LOW; value <= top * 1.001; value *= 10) all.push(value);
    const every = Math.ceil(all.length / 4);
    return all.filter((_, i) => i % every === 0);
  };
  return { top, at: (value) => bottom - (bottom - upper) * Math.min(share(value), 1), ticks };
}

/** From left to right. Ticks stand at round times of the reader's clock. */
export function along(begin, end, left, right) {
  const at = (time) => left + ((Math.min(Math.max(time, begin), end) - begin) / (end - begin)) * (right - left);
  const apart = APART.find((step) => ((right - left) * step) / (end - begin) >= TEXT_PX) ?? APART.at(-1);
  const offset = new Date(begin).getTimezoneOffset() * MINUTE;
  const ticks = [];
  for (let time = Math.ceil((begin - offset) / apart) * apart + offset; time <= end; time += apart) {
    // The outermost texts would be cut off.
    if (at(time) > left + TEXT_PX / 4 && at(time) < right - TEXT_PX / 4) ticks.push({ at: time, text: text(time, apart, end - begin) });
  }
  return { at, time: (px) => Math.min(Math.max(begin + ((px - left) / (right - left)) * (end - begin), begin), end), ticks: () => ticks };
}

function text(time, apart, whole) {
  const date = new Date(time);
  const isMidnight = date.getHours() === 0 && date.getMinutes() === 0;
  return apart >= DAY || (whole > DAY && isMidnight) ? date.toLocaleDateString([], { day: "numeric", month: "short" }) : clock(time);
}
