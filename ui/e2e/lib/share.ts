import { availableParallelism, loadavg } from "node:os";

/** How much longer things may take on a machine that has more to do than it has processors; 1 on an idle one. */
export function share(): number {
  return Math.min(6, Math.max(1, (loadavg()[0] ?? 0) / availableParallelism()));
}
