import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { SessionService } from "~/gen/cnnf/v1/access_pb";

type Listener = () => void;
const expired = new Set<Listener>();

/** Calls `listener` whenever the controller says that nobody is signed in; returns how to stop that. */
export function onSignedOut(listener: Listener): () => void {
  expired.add(listener);
  return () => expired.delete(listener);
}

/** Tells those who listen when a call says that nobody is signed in, a stream also in its midst. */
export const watchSession: Interceptor = (next) => async (request) => {
  const note = (error: unknown) => {
    // Signing in with a wrong password ends nothing.
    const asked = request.service.typeName !== SessionService.typeName;
    if (asked && ConnectError.from(error).code === Code.Unauthenticated) for (const listener of expired) listener();
  };
  try {
    const answer = await next(request);
    return answer.stream ? { ...answer, message: noted(answer.message, note) } : answer;
  } catch (error) {
    note(error);
    throw error;
  }
};

async function* noted<T>(messages: AsyncIterable<T>, note: (error: unknown) => void): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    note(error);
    throw error;
  }
}

/** gRPC-web to where the page came from. The session is a cookie that scripts cannot see. */
export const transport = createGrpcWebTransport({
  baseUrl: globalThis.location?.origin ?? "http://localhost",
  interceptors: [watchSession],
  defaultTimeoutMs: 30_000,
});
