import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../../dist/", import.meta.url));
const KINDS: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".json": "application/json",
};

/** The controller's own policy, word for word: what works here works there. */
const POLICY = readFileSync(new URL("../../../bins/cnnf-controller/src/web/headers.rs", import.meta.url), "utf8")
  .match(/"content-security-policy",\s*"([\s\S]*?)",/)?.[1]
  ?.replace(/\\\n\s*/g, "");

/** Serves the built page on a free port of this machine, as the controller does; for tests that need no controller. */
export function serve(): Promise<{ origin: string; server: Server }> {
  if (!POLICY) throw new Error("the controller's policy is not where it was");
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://x").pathname);
    const file = join(DIST, extname(path) ? path : "index.html");
    if (!file.startsWith(DIST) || !existsSync(file)) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": KINDS[extname(file)] ?? "application/octet-stream", "content-security-policy": POLICY });
    response.end(readFileSync(file));
  });
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      done({ origin: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`, server });
    });
  });
}
