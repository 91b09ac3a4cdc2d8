import { Code, ConnectError } from "@connectrpc/connect";
import { text } from "~/text";

/** What went wrong, in words for people; the controller's own words where it said any. */
export function inWords(error: unknown): string {
  const failure = ConnectError.from(error);
  if (isLost(failure)) return text.errors.unreachable;
  if (failure.code === Code.PermissionDenied) return failure.rawMessage || text.errors.notAllowed;
  if (failure.code === Code.Unauthenticated) return text.errors.signedOut;
  if (failure.code === Code.Aborted) return failure.rawMessage || text.errors.changedMeanwhile;
  return failure.rawMessage || text.errors.unknown;
}

/** Whether the controller could not be reached at all, so that trying again makes sense. */
export function isLost(error: unknown): boolean {
  if (error instanceof TypeError) return true;
  const { code } = ConnectError.from(error);
  return (
    code === Code.Unavailable ||
    code === Code.DeadlineExceeded ||
    (code === Code.Unknown && ConnectError.from(error).cause instanceof TypeError)
  );
}

/** Whether trying the same again later may help. */
export function mayRetry(error: unknown): boolean {
  return isLost(error) || ConnectError.from(error).code === Code.ResourceExhausted;
}
