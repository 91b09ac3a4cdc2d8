/** Rules that could shut out those who would have to repair them. */

import { holdsPort } from "~/parts/ports";
import type { Wanted } from "./draft/draft";

/** What a rule would meet. */
export type Danger = "ssh" | "controller";

/** The controller's port for defenders, unless somebody chose another one. */
const CONTROLLER_PORT = 7443;

/** What a rule could shut out, were it not for the hosts' failsafes. */
export function dangers(want: Pick<Wanted, "enabled" | "effect" | "from" | "to" | "ports">): Danger[] {
  if (!want.enabled || want.effect !== "prevent") return [];
  const found: Danger[] = [];
  if (holdsPort(want.ports, "tcp", 22) && means(want.to, ["unit:ssh", "unit:sshd", "unit:ssh@", "unit:sshd@"])) found.push("ssh");
  if (holdsPort(want.ports, "tcp", CONTROLLER_PORT) && means(want.from, ["unit:cnnf-defender"]) && !isElsewhere(want.to))
    found.push("controller");
  return found;
}

/** Whether an end means one of these services: any, its key, its short name, or a glob that it fits. */
function means(end: string, keys: readonly string[]): boolean {
  const text = end.trim();
  if (text === "any") return true;
  return keys.some((key) => {
    const short = key.slice(key.indexOf(":") + 1);
    if (text === key || text === short) return true;
    if (!text.includes("*")) return false;
    const pattern = text.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
    return new RegExp(`^${pattern.join(".*")}$`).test(key);
  });
}

/** Whether the server's end is a service that is not the controller. */
function isElsewhere(to: string): boolean {
  return /^(unit|exe|container|svc):/.test(to) && !means(to, ["unit:cnnf-controller"]);
}
