import { Code, ConnectError } from "@connectrpc/connect";

/** What all who listen are told, as a stream to each. */
export class Feed<T> {
  private readonly told = new Set<(one: T) => void>();
  private readonly ends = new Set<() => void>();

  tell(one: T): void {
    for (const listener of this.told) listener(one);
  }

  /** Ends all streams, as a controller does that ends. */
  break(): void {
    for (const end of this.ends) end();
  }

  async *follow(signal: AbortSignal, first: readonly T[] = []): AsyncGenerator<T> {
    const waiting = [...first];
    let wake = () => {};
    let broken = false;
    const hear = (one: T) => {
      waiting.push(one);
      wake();
    };
    const end = () => {
      broken = true;
      wake();
    };
    this.told.add(hear);
    this.ends.add(end);
    signal.addEventListener("abort", () => wake());
    try {
      while (!signal.aborted) {
        if (broken) throw new ConnectError("the controller is ending", Code.Unavailable);
        const one = waiting.shift();
        if (one) yield one;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.told.delete(hear);
      this.ends.delete(end);
    }
  }
}
