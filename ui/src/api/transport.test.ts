import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { EventService } from "~/gen/cnnf/v1/admin_pb";
import { onSignedOut, watchSession } from "./transport";

describe("a session's end", () => {
  it("is noticed in the midst of a stream", async () => {
    const code = { next: Code.Unavailable };
    const transport = createRouterTransport(
      ({ rpc }) => {
        rpc(EventService.method.watchEvents, async function* () {
          yield { id: 1n };
          throw new ConnectError("ended", code.next);
        });
      },
      { transport: { interceptors: [watchSession] } },
    );
    let told = 0;
    const stop = onSignedOut(() => told++);
    const watch = async () => {
      const seen: bigint[] = [];
      const read = async () => {
        for await (const event of createClient(EventService, transport).watchEvents({})) seen.push(event.id);
      };
      await expect(read()).rejects.toThrow("ended");
      expect(seen).toEqual([1n]);
    };
    await watch();
    expect(told, "a lost controller ends no session").toBe(0);
    code.next = Code.Unauthenticated;
    await watch();
    expect(told).toBe(1);
    stop();
  });
});
