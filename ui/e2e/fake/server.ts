/**
 * A made-up controller: gRPC-web and the built page on one port. For what a real one cannot be brought to in a moment: 50,000 events, names of
 * a megabyte, a stream that breaks, a colleague who is faster. What the real one does is tested against the real one.
 */

import { createReadStream, existsSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { create, type DescMethod, type DescService, fromBinary, type Message, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";

type Answer = Record<string, unknown>;
/** What a method does: an answer, or a stream of them. */
export type Handler = (request: never, signal: AbortSignal) => Answer | Promise<Answer> | AsyncIterable<Answer>;
/** Handlers by "Service.method", such as "PolicyService.listRules". */
export type Handlers = Record<string, Handler>;

const TYPES: Record<string, string> = {
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

/** Starts one on a free port of the loopback. */
export async function serve(
  services: readonly DescService[],
  handlers: Handlers,
  dist: string,
): Promise<{ url: string; close(): Promise<void> }> {
  const methods = new Map<string, { method: DescMethod; name: string }>();
  for (const service of services) {
    for (const method of service.methods)
      methods.set(`/${service.typeName}/${method.name}`, { method, name: `${service.name}.${method.localName}` });
  }
  const server = createServer((request, response) => {
    const found = methods.get(request.url ?? "");
    if (found && request.method === "POST") void call(found.method, handlers[found.name], request, response);
    else file(dist, request.url ?? "/", response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => close(server) };
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

async function call(method: DescMethod, handler: Handler | undefined, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ended = new AbortController();
  response.on("close", () => ended.abort());
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  response.writeHead(200, { "content-type": "application/grpc-web+proto" });
  response.flushHeaders();
  const send = (answer: Answer) => response.write(frame(0, Buffer.from(toBinary(method.output, create(method.output, answer) as Message))));
  try {
    if (!handler) throw new ConnectError("not there", Code.Unimplemented);
    const asked = fromBinary(method.input, body.subarray(5));
    const answer = handler(asked as never, ended.signal);
    if (Symbol.asyncIterator in answer) for await (const one of answer as AsyncIterable<Answer>) send(one);
    else send(await (answer as Promise<Answer>));
    trailer(response, 0, "");
  } catch (error) {
    const { code, rawMessage } = ConnectError.from(error);
    trailer(response, code, rawMessage);
  }
}

function trailer(response: ServerResponse, code: number, message: string): void {
  if (response.destroyed) return;
  response.end(frame(0x80, Buffer.from(`grpc-status: ${code}\r\ngrpc-message: ${encodeURIComponent(message)}\r\n`)));
}

function frame(flags: number, data: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function file(dist: string, url: string, response: ServerResponse): void {
  const path = normalize(decodeURIComponent(new URL(url, "http://x").pathname));
  const asked = join(dist, path);
  const there = asked.startsWith(dist) && extname(asked) !== "" && existsSync(asked);
  const name = there ? asked : join(dist, "index.html");
  response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", "content-security-policy": POLICY ?? "" });
  createReadStream(name).pipe(response);
}
