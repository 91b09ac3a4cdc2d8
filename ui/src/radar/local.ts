/** A moment as a field for date and time has it: in the reader's zone, to the minute. */
export function local(at: number): string {
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
