// One line chart as SVG, drawn to the width it has. It takes the keyboard's focus: the arrows move through its points and
// marks, and what is there is said. The words that lead it are its tile's (tiles.js).

import { h } from "./dom.js";
import { high, along, up } from "./scale.js";
import { clock, when } from "./words.js";

const HEIGHT = 150;
const EDGE = { left: 46, right: 8, top: 14, bottom: 20 };
/** Points farther apart have no line between them: nothing is known of the time between. */
const APART_MS = 300000;
/** A mark is read out with what is so near to it. */
const NEAR_PX = 5;
const LETTER_PX = 6.5;

/** What a mark is, by its shape: drawn around the point where it stands. */
const SHAPES = { up: "M-5 4h10L0-5Z", down: "M-5-5h10L0 4Z", hold: "M-4-5h3V4h-3ZM1-5h3V4H1Z", other: "M0-5 5 0 0 5-5 0Z" };

export const shape = (kind) => h("path", { class: `mark ${kind}`, d: SHAPES[kind] });

/**
 * `name`; `lines`: [{ name, look, steps }], where `steps` holds a value until the next; `format(value)`; `log`: a logarithmic
 * scale; `least`: the top of the scale at least, `most`: at most; `pointed(time)`: called where somebody points.
 * `show({ begin, end, lines, limits, marks, known })` draws: in `lines` the points { at, value, hollow } of each, `limits`
 * [{ at, name, mild }], `marks` [{ at, kind, text }], `known`: since when there is anything to draw. All times are in ms.
 */
export function chart({ name, lines, format, log = false, least = 0, most = Infinity, hint = "", pointed }) {
  const svg = h("svg", { class: "plot", "aria-hidden": "true", focusable: "false" });
  const readout = h("p", { class: "readout", "aria-live": "off" }, hint);
  const figure = h("div", { class: "chart", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": name, keydown: onKey, blur: () => pointed(null) }, svg, readout);
  svg.addEventListener("pointermove", (event) => x && pointed(x.time(event.offsetX)));
  svg.addEventListener("pointerleave", () => pointed(null));
  let drawn = { begin: 0, end: 1, lines: lines.map(() => []), limits: [], marks: [], known: null };
  let x = null;
  let y = null;
  let at = null;

  new ResizeObserver(draw).observe(figure);

  function draw() {
    const width = svg.clientWidth;
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const values = drawn.lines.flat().map(({ value }) => value);
    x = along(drawn.begin, drawn.end, EDGE.left, width - EDGE.right);
    y = up(high(Math.max(least, ...values.map((value) => value * 1.05)), most, log), log, HEIGHT - EDGE.bottom, EDGE.top);
    svg.replaceChildren(...grid(width), ...unknown(width), ...drawn.limits.map(limit).filter(Boolean), ...drawn.marks.map(mark), ...drawn.lines.map(line), h("g", { class: "here" }));
    point(at);
  }

  function grid(width) {
    const texts = new Set();
    const across = y.ticks().filter((value) => !texts.has(format(value)) && texts.add(format(value))).flatMap((value) => [
      h("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y.at(value), y2: y.at(value) }),
      h("text", { x: EDGE.left - 6, y: y.at(value) + 4, "text-anchor": "end" }, format(value)),
    ]);
    return [...across, ...x.ticks().map(({ at: time, text }) => h("text", { x: x.at(time), y: HEIGHT - 5, "text-anchor": "middle" }, text))];
  }

  /** The time of which nothing is known. */
  function unknown(width) {
    if (drawn.known === null) return [h("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "no data in this time")];
    const end = Math.min(x.at(drawn.known), width - EDGE.right);
    if (end - EDGE.left < 4) return [];
    const text = [`no data before ${when(drawn.known)}`, "no data"].find(({ length }) => end - EDGE.left > length * LETTER_PX);
    return [h("rect", { class: "unknown", x: EDGE.left, y: EDGE.top, width: end - EDGE.left, height: HEIGHT - EDGE.top - EDGE.bottom }),
      text && h("text", { x: (EDGE.left + end) / 2, y: HEIGHT / 2, "text-anchor": "middle" }, text)].filter(Boolean);
  }

  function limit({ at: value, name: what, mild }) {
    if (value > y.top) return null;
    return h("g", null, h("line", { class: mild ? "limit mild" : "limit", x1: EDGE.left, x2: svg.clientWidth - EDGE.right, y1: y.at(value), y2: y.at(value) }),
      h("text", { x: EDGE.left + 4, y: y.at(value) - 3 }, what));
  }

  function mark({ at: time, kind, text }) {
    const drawing = shape(kind);
    drawing.setAttribute("transform", `translate(${x.at(time).toFixed(1)} 7)`);
    return h("g", null, h("title", null, `${clock(time)} ${text}`), h("line", { class: `mark ${kind}`, x1: x.at(time), x2: x.at(time), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }), drawing);
  }

  function line(points, i) {
    const { look, steps } = lines[i];
    let path = "";
    let last = null;
    const dots = [];
    for (const point of points) {
      const [px, py] = [x.at(point.at).toFixed(1), y.at(point.value).toFixed(1)];
      if (point.hollow) dots.push(h("circle", { class: `dot hollow ${look}`, cx: px, cy: py, r: 3 }));
      const joined = last && !last.ends && !point.hollow && !last.hollow && (steps || point.at - last.at < APART_MS + (point.wide ?? 0));
      if (joined && steps) path += `L${px} ${y.at(last.value).toFixed(1)}`;
      path += point.hollow ? "" : joined ? `L${px} ${py}` : `M${px} ${py}`;
      // A point alone is a dot.
      if (!point.hollow && !joined && !steps) dots.push(h("circle", { class: `dot ${look}`, cx: px, cy: py, r: 2 }));
      last = point;
    }
    if (steps && last && !last.ends) path += `L${x.at(drawn.end).toFixed(1)} ${y.at(last.value).toFixed(1)}`;
    return h("g", null, h("path", { class: `line ${look}`, d: path || "M0 0", "stroke-linecap": "round", "stroke-linejoin": "round" }), dots);
  }

  /** Of a line, what was so at a time. */
  function found(points, i, time) {
    if (lines[i].steps) return points.findLast((point) => point.at <= time && !(point.ends && point.at < time)) ?? null;
    const best = points.reduce((near, point) => (near === null || Math.abs(point.at - time) < Math.abs(near.at - time) ? point : near), null);
    return best && Math.abs(best.at - time) <= APART_MS ? best : null;
  }

  /** Shows what was so at a time, or nothing of it. */
  function point(time) {
    at = time;
    const here = svg.querySelector(".here");
    if (!here) return;
    if (time === null) {
      here.replaceChildren();
      readout.textContent = hint;
      return;
    }
    const seen = drawn.lines.map((points, i) => [lines[i], found(points, i, time)]);
    const near = drawn.marks.filter((one) => Math.abs(x.at(one.at) - x.at(time)) <= NEAR_PX);
    here.replaceChildren(h("line", { class: "cursor", x1: x.at(time), x2: x.at(time), y1: EDGE.top, y2: HEIGHT - EDGE.bottom }),
      ...seen.filter(([, it]) => it).map(([of, it]) => h("circle", { class: `dot ${of.look}`, cx: of.steps ? x.at(time) : x.at(it.at), cy: y.at(it.value), r: 3.5 })));
    readout.replaceChildren(h("span", { class: "soft" }, when(time)), ...seen.map(([of, it]) => h("span", { class: of.look }, `${of.name} ${it ? format(it.value) : "–"}${it?.hollow ? " (few requests)" : ""}`)),
      ...near.map((one) => h("span", { class: "strong" }, one.text)));
  }

  function onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const times = [...new Set([...drawn.lines.flat(), ...drawn.marks].map((one) => one.at))].filter((time) => time >= drawn.begin && time <= drawn.end).sort((a, b) => a - b);
    if (!step || !times.length) return;
    event.preventDefault();
    readout.setAttribute("aria-live", "polite");
    const next = step > 0 ? times.find((time) => time > (at ?? -1)) : times.findLast((time) => time < (at ?? Infinity));
    pointed(next ?? (step > 0 ? times.at(-1) : times[0]));
  }

  return {
    figure,
    point,
    show(now) {
      drawn = now;
      draw();
    },
  };
}
