// Reads bodies as a bot in JavaScript does. The same conversation as in reader.py.

import { readSync, writeSync } from "node:fs";

const NOTHING = Symbol();
const UNFIT = Symbol();

function sources(preset) {
  return preset.sources.map((text) => {
    const [, namespace, kind, rest] = text.match(/^(?:(\w+):)?(json|form|form_json|const|header|query|path|jwt):(.*)$/);
    return { namespace: namespace ?? "ws", kind, rest, never: preset.never };
  });
}

function* at(value, steps) {
  if (steps.length === 0) {
    yield value;
    return;
  }
  const [step, ...rest] = steps;
  if (typeof value !== "object" || value === null) return;
  const inside = step === "*" ? Object.values(value) : Object.hasOwn(value, step) && step !== "length" ? [value[step]] : [];
  for (const below of inside) yield* at(below, rest);
}

class Body {
  constructor(kind, data) {
    this.kind = kind;
    this.special = new Set();
    const text = data.toString("utf8");
    if (kind === "json") this.document = this.parse(text);
    // A leading `?` is no part of a query to URLSearchParams, and is one of a body.
    else this.fields = new URLSearchParams(`&${text}`);
  }

  parse(text) {
    try {
      return JSON.parse(text);
    } catch (error) {
      if (error instanceof RangeError) this.special.add("deep");
      this.broken = true;
      return undefined;
    }
  }

  *values(kind, rest) {
    if (kind === "json" && this.kind === "json") yield* at(this.document, rest.split("/").slice(1));
    else if (kind === "form" && this.kind === "form") yield* this.fields.getAll(rest);
    else if (kind === "form_json" && this.kind === "form") {
      const [field, pointer] = rest.split("#");
      for (const text of new Set(this.fields.getAll(field).filter((text) => text !== ""))) {
        yield* at(this.parse(text), pointer.split("/").slice(1));
      }
    }
  }

  asId(value) {
    if (value === null || value === undefined || value === "") return NOTHING;
    if (typeof value === "string") {
      if (value.includes("\ufffd")) this.special.add("replaced");
      return Buffer.byteLength(value) <= 256 ? value : UNFIT;
    }
    if (typeof value !== "number") return UNFIT;
    if (!Number.isSafeInteger(value)) this.special.add("rounded");
    // 1.0, 1e2 and -0 are numbers like any other.
    this.special.add("number");
    return Number.isInteger(value) ? BigInt(value).toString() : UNFIT;
  }

  // The first source with an id; none if it has several.
  find(sources) {
    let passedOver = false;
    for (const { namespace, kind, rest, never } of sources) {
      if (kind === "const") return passedOver || this.broken || this.kind === "form" ? null : `${namespace}:${rest}`;
      const ids = new Set();
      for (const value of this.values(kind, rest)) {
        const found = this.asId(value);
        if (found === UNFIT) passedOver = true;
        else if (found !== NOTHING) ids.add(found);
      }
      if (ids.size > 1) return null;
      const [id] = ids;
      if (id !== undefined && !never.includes(id)) return `${namespace}:${id}`.toWellFormed();
    }
    return null;
  }
}

let waiting = Buffer.alloc(0);

function more() {
  const piece = Buffer.alloc(1 << 16);
  const length = readSync(0, piece);
  waiting = Buffer.concat([waiting, piece.subarray(0, length)]);
  return length > 0;
}

function take(length) {
  while (waiting.length < length) if (!more()) throw new Error("the input has broken off");
  const taken = waiting.subarray(0, length);
  waiting = waiting.subarray(length);
  return taken;
}

function line() {
  while (!waiting.includes(10)) if (!more()) return undefined;
  const text = take(waiting.indexOf(10) + 1).toString();
  return text.trimEnd();
}

function write(text) {
  let rest = Buffer.from(text);
  while (rest.length > 0) rest = rest.subarray(writeSync(1, rest));
}

const presets = JSON.parse(line()).map(sources);
for (let count = line(); count !== undefined; count = line()) {
  let answers = "";
  for (let turn = 0; turn < Number(count); turn++) {
    const [kind, length] = line().split(" ");
    const body = new Body(kind, take(Number(length)));
    const ids = presets.map((preset) => body.find(preset));
    answers += JSON.stringify({ ids, special: [...body.special].sort() }) + "\n";
  }
  write(answers);
}
