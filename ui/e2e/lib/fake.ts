import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { Page } from "playwright-core";
import { SessionSchema, SignInOptionsSchema } from "~/gen/cnnf/v1/access_pb";
import {
  DiffEdgesResponseSchema,
  ListDefendersResponseSchema,
  ListEdgesResponseSchema,
  ListEventsResponseSchema,
  ListRulesResponseSchema,
  type Radar,
  RadarSchema,
  StatusSchema,
} from "~/gen/cnnf/v1/admin_pb";

/** An answer of a fake controller: a message, or gRPC's number of a failure. */
export type Answer = { schema: DescMessage; message: MessageInitShape<DescMessage> } | number;

/** As gRPC-web frames it: the message, then the trailers. */
export function framed(answer: Answer): Buffer {
  const frame = (flag: number, body: Uint8Array) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flag, 0);
    head.writeUInt32BE(body.length, 1);
    return Buffer.concat([head, body]);
  };
  if (typeof answer === "number") return frame(0x80, Buffer.from(`grpc-status: ${answer}\r\n`));
  return Buffer.concat([
    frame(0, toBinary(answer.schema, create(answer.schema, answer.message))),
    frame(0x80, Buffer.from("grpc-status: 0\r\n")),
  ]);
}

/** gRPC's word for a call that this fake does not know. */
const UNIMPLEMENTED = 12;

/** Answers the page's calls by itself, so that a picture of any size can be had without a controller that has seen it. */
export async function fake(page: Page, radar: Radar, more: Record<string, Answer> = {}): Promise<void> {
  const answers: Record<string, Answer> = {
    GetSession: { schema: SessionSchema, message: { user: "ada", role: "admin" } },
    GetSignInOptions: { schema: SignInOptionsSchema, message: {} },
    GetStatus: { schema: StatusSchema, message: { version: "0.0.0", services: radar.nodes.length, edges: radar.edges.length } },
    GetRadar: { schema: RadarSchema, message: radar },
    ListEvents: { schema: ListEventsResponseSchema, message: {} },
    ListDefenders: { schema: ListDefendersResponseSchema, message: {} },
    ListEdges: { schema: ListEdgesResponseSchema, message: {} },
    ListRules: { schema: ListRulesResponseSchema, message: {} },
    DiffEdges: { schema: DiffEdgesResponseSchema, message: {} },
    ...more,
  };
  const bodies = new Map(Object.entries(answers).map(([method, answer]) => [method, framed(answer)]));
  await page.route(/\/cnnf\.v1\.\w+\/\w+$/, async (route) => {
    const method = new URL(route.request().url()).pathname.split("/").at(-1) ?? "";
    // A watch that stays open and says nothing.
    if (method.startsWith("Watch")) return;
    const body = bodies.get(method) ?? framed(UNIMPLEMENTED);
    await route.fulfill({ status: 200, headers: { "content-type": "application/grpc-web+proto" }, body });
  });
}
