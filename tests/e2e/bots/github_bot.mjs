// A GitHub App's webhook receiver on @octokit/webhooks, as its documentation builds one.
import { createServer } from "node:http";
import { Webhooks, createNodeMiddleware } from "@octokit/webhooks";

const [track, secret] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const webhooks = new Webhooks({ secret, log: { debug() {}, info() {}, warn() {}, error() {} } });
webhooks.onAny(({ id, name, payload }) => say({ id, kind: name, account: payload.repository?.owner?.id ?? null }));

const middleware = createNodeMiddleware(webhooks, { path: "/github" });
const server = createServer((request, response) => {
  response.setHeader("X-Track", track);
  middleware(request, response);
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
