import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ConnectError } from "@connectrpc/connect";

/** A field of a request and what is wrong with it, as the controller says it: "definition.units[2]", "is no glob". */
export interface Violation {
  field: string;
  description: string;
}

/** google.rpc.BadRequest: its field 1 is the list of violations, each of `field` (1) and `description` (2). */
const BAD_REQUEST = "google.rpc.BadRequest";

/** Which fields the controller found wrong; none where it said no more than that the call failed. */
export function violations(error: unknown): Violation[] {
  if (!error) return [];
  return ConnectError.from(error).details.flatMap((detail) =>
    "type" in detail && detail.type === BAD_REQUEST ? listOf(detail.value).map(violation) : [],
  );
}

function violation(bytes: Uint8Array): Violation {
  const [field, description] = [1, 2].map((no) => new TextDecoder().decode(listOf(bytes, no)[0]));
  return { field: field ?? "", description: description ?? "" };
}

/** The values of a field of a message that is a text or a message itself. */
function listOf(message: Uint8Array, wanted = 1): Uint8Array[] {
  const reader = new BinaryReader(message);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [no, wire] = reader.tag();
    if (no === wanted) found.push(reader.bytes());
    else reader.skip(wire, no);
  }
  return found;
}

/** What is wrong with a field or a part of it: `atFields(error, "new", "current")`. What is about others is said below the form. */
export function atFields<Name extends string>(
  error: unknown,
  ...names: readonly Name[]
): { at: Partial<Record<Name, string>>; rest: unknown } {
  const at: Partial<Record<Name, string>> = {};
  const found = violations(error);
  let others = found.length === 0;
  for (const { field, description } of found) {
    const name = names.find((one) => field === one || field.startsWith(`${one}.`) || field.startsWith(`${one}[`));
    if (name === undefined) others = true;
    else at[name] ??= description;
  }
  return { at, rest: others ? error : undefined };
}
