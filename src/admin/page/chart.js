// Line charts as SVG, drawn to the width they have. A chart takes the keyboard's focus: the arrows move through its points,
// and what is there is said.

import { h } from "./dom.js";
import { clock } from "./words.js";

const HEIGHT = 150;
const EDGE = { left: 46, right: 8, top: 8, bottom: 20 };
const HOUR_MS = 3600000;
/** A scale ends here; beyond it only the readout goes on. */
const LARGEST = 1e30;
/** A young process has no hour to show. */
const LEAST_MS = 300000;

/**
 * `name`; `lines`: [{ name, look, value(point) → number | null }]; `format(value)`; `log`: a logarithmic scale; `least`: the
 * top of the scale at least, `most`: at most; `limits`: [{ at, name, mild }]; `steps`: values hold until the next point.
 * `show(points)` draws points with `at` in ms.
 */
export function chart({ name, lines, format, log = false, least = 0, most = Infinity, limits = [], steps = false, since }) {
  const svg = h("svg", { "aria-hidden": "true", focusable: "false" });
  const readout = h("p", { class: "readout", "aria-live": "off" });
  const figure = h("div", { class: "chart", tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-label": name, keydown: onKey, blur: () => point(null) },
    h("h3", { class: "small strong" }, name), svg, readout);
  svg.addEventListener("pointermove", (event) => point(nearest(event.offsetX)));
  svg.addEventListener("pointerleave", () => point(null));
  let points = [];
  let at = null;
  let scale = null;
  let bounds = limits;

  new ResizeObserver(draw).observe(figure);

  function draw() {
    const width = svg.clientWidth;
    if (!width) return;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    scale = scales(width);
    svg.replaceChildren(...grid(width), ...bounds.map(limit).filter(Boolean), ...lines.map(line), h("g", { class: "here" }));
    point(at);
  }

  function scales(width) {
    const end = Date.now();
    const first = since?.() ?? Math.max(points[0]?.at ?? 0, end - HOUR_MS);
    const begin = Math.min(first, end - LEAST_MS);
    const values = points.flatMap((p) => lines.map((l) => l.value(p))).filter((v) => v !== null && v !== undefined);
    const top = Math.min(most, LARGEST, nice(Math.max(least, ...values.map((v) => v * 1.05)), log));
    const x = (t) => EDGE.left + ((t - begin) / (end - begin)) * (width - EDGE.left - EDGE.right);
    const inner = HEIGHT - EDGE.top - EDGE.bottom;
    const low = 0.1;
    const share = (v) => (log ? Math.log(Math.max(v, low) / low) / Math.log(top / low) : v / top);
    return { x, y: (v) => EDGE.top + inner * (1 - Math.min(share(v), 1)), top, begin, end, low };
  }

  function ticks() {
    if (!log) return [0, scale.top / 2, scale.top];
    const all = [];
    for (let v = scale.low; v <= scale.top * 1.001; v *= 10) all.push(v);
    const every = Math.ceil(all.length / 4);
    return all.filter((_, i) => i % every === 0);
  }

  function grid(width) {
    const across = ticks().flatMap((v) => [
      h("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: scale.y(v), y2: scale.y(v) }),
      h("text", { x: EDGE.left - 6, y: scale.y(v) + 4, "text-anchor": "end" }, format(v)),
    ]);
    const shown = Math.max(1, Math.min(4, Math.floor(width / 110)));
    const along = Array.from({ length: shown + 1 }, (_, i) => scale.begin + ((scale.end - scale.begin) * i) / shown);
    const anchor = (i) => (i === 0 ? "start" : i === shown ? "end" : "middle");
    return [...across, ...along.map((t, i) => h("text", { x: scale.x(t), y: HEIGHT - 5, "text-anchor": anchor(i) }, clock(t)))];
  }

  function limit({ at: value, name: what, mild }) {
    if (value > scale.top) return null;
    const y = scale.y(value);
    const right = svg.clientWidth - EDGE.right;
    return h("g", null, h("line", { class: mild ? "limit mild" : "limit", x1: EDGE.left, x2: right, y1: y, y2: y }),
      h("text", { x: right, y: y - 3, "text-anchor": "end" }, what));
  }

  function line({ value, look }) {
    let path = "";
    let pen = false;
    let last = 0;
    for (const p of points) {
      const v = value(p);
      if (v === null || v === undefined) {
        pen = false;
        continue;
      }
      const [x, y] = [scale.x(Math.max(p.at, scale.begin)), scale.y(v)];
      if (pen && steps) path += `L${x.toFixed(1)} ${last.toFixed(1)}`;
      path += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
      // A point alone is a dot.
      if (!pen) path += `h0.01`;
      [pen, last] = [true, y];
    }
    if (pen && steps) path += `L${scale.x(scale.end).toFixed(1)} ${last.toFixed(1)}`;
    return h("path", { class: `line ${look}`, d: path || "M0 0", "stroke-linecap": "round", "stroke-linejoin": "round" });
  }

  function nearest(x) {
    let best = null;
    points.forEach((p, i) => {
      if (best === null || Math.abs(scale.x(p.at) - x) < Math.abs(scale.x(points[best].at) - x)) best = i;
    });
    return best;
  }

  /** Shows the values at a point, or the last ones. */
  function point(index) {
    at = index !== null && points[index] ? index : null;
    const p = points[at ?? points.length - 1];
    const here = svg.querySelector(".here");
    if (here && scale) {
      const dots = lines.map(({ value, look }) => [value(p ?? {}), look]).filter(([v]) => at !== null && v !== null && v !== undefined);
      const x = at === null ? 0 : scale.x(points[at].at);
      here.replaceChildren(...(at === null ? [] : [h("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom })]),
        ...dots.map(([v, look]) => h("circle", { class: `dot ${look}`, cx: x, cy: scale.y(v), r: 3.5 })));
    }
    const when = h("span", { class: "soft" }, !p ? "nothing yet" : at === null ? "now" : clock(p.at));
    const values = p ? lines.map(({ name: of, value, look }) => h("span", { class: look.split(" ")[0] }, `${of} ${value(p) === null || value(p) === undefined ? "–" : format(value(p))}`)) : [];
    readout.replaceChildren(when, ...values);
    figure.setAttribute("aria-label", `${name}: ${readout.textContent ? [when, ...values].map((s) => s.textContent).join(", ") : ""}`);
  }

  function onKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !points.length) return;
    event.preventDefault();
    readout.setAttribute("aria-live", "polite");
    point(Math.max(0, Math.min(points.length - 1, (at ?? points.length) + step)));
  }

  return {
    figure,
    show(now, limitsNow = limits) {
      [points, bounds] = [now, limitsNow];
      draw();
    },
  };
}

/** The next round number above. */
function nice(value, log) {
  if (value <= 0) return 1;
  const ten = 10 ** Math.floor(Math.log10(value));
  if (log) return value <= ten ? ten : ten * 10;
  return [1, 2, 2.5, 5, 10].find((step) => step * ten >= value * 0.999) * ten;
}
