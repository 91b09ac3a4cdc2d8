/** google.rpc.BadRequest as the controller encodes it; texts of at most 127 bytes. */
export function badRequest(...of: [field: string, description: string][]): Uint8Array {
  const part = (no: number, value: Uint8Array | string): number[] => {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return [(no << 3) | 2, bytes.length, ...bytes];
  };
  return Uint8Array.from(of.flatMap(([field, description]) => part(1, Uint8Array.from([...part(1, field), ...part(2, description)]))));
}
