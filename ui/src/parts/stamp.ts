import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

/** A time of the API as RFC 3339; empty if it is unset. */
export function rfc3339(at: Timestamp | undefined): string {
  return at ? timestampDate(at).toISOString() : "";
}
