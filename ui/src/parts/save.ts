/** Gives the reader a file of what the page holds; nothing is asked of a server. */
export function save(name: string, type: string, content: BlobPart): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The download has begun by then; an object that is never let go stays in memory.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
