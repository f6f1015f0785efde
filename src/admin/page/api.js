// The API, with the token of whoever looks at this page. The token is kept for this tab, or, if asked, for this browser.

const KEY = "serin-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  set(value, remember) {
    token.forget();
    (remember ? localStorage : sessionStorage).setItem(KEY, value);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
};

/** What the API said no with: a problem document's parts. */
export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    Object.assign(this, { status, code });
  }
}

function headers(more) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, problem.code ?? "", problem.detail ?? `serin answered ${answer.status}`);
}

async function asked(path, options) {
  try {
    return await checked(await fetch(path, options));
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "serin does not answer: is it running, and is this still its address?");
  }
}

export async function read(path) {
  return (await asked(path, { headers: headers({}) })).json();
}

/** A change; `revision` is what it is based on, null where it is right whatever has happened meanwhile. */
export async function change(method, path, body, revision) {
  const more = { "Content-Type": "application/json" };
  if (revision !== null) more["If-Match"] = `"${revision}"`;
  return (await asked(path, { method, headers: headers(more), body: JSON.stringify(body) })).json();
}

const RETRY_MS = [1000, 2000, 5000, 10000];
/** serin says something at least every 15 s. */
const SILENCE_MS = 40000;

/**
 * Listens for ever, until the returned function is called. `on.status(bot)`, `on.gone(name)`, `on.change(row)`,
 * `on.state(connected, problem)`.
 */
export function listen(on) {
  let ended = false;
  let current;
  (async () => {
    for (let failed = 0; !ended; ) {
      current = new AbortController();
      try {
        const answer = await asked("/v1/events?status=true", { headers: headers({}), signal: current.signal });
        failed = 0;
        on.state(true);
        await events(answer.body, current, on);
      } catch (error) {
        if (ended) return;
        if (error.status === 401 || error.status === 403) return on.state(false, error);
      }
      if (ended) return;
      on.state(false);
      await new Promise((done) => setTimeout(done, RETRY_MS[Math.min(failed++, RETRY_MS.length - 1)]));
    }
  })();
  return () => {
    ended = true;
    current?.abort();
  };
}

/** Server-sent events by hand, for EventSource sends no token. */
async function events(body, controller, on) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const silence = setTimeout(() => controller.abort(), SILENCE_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(silence));
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
      if (fields.event === "status") on.status(JSON.parse(fields.data));
      if (fields.event === "gone") on.gone(JSON.parse(fields.data).bot);
      if (fields.event === "change") on.change(JSON.parse(fields.data));
      if (fields.event === "missed") on.change(null);
    }
  }
}
