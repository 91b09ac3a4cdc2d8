import { useMemo } from "react";
import { useSession } from "~/shell/session";

/** What the reader's role allows. The controller decides again; this is for what is offered. */
export interface May {
  /** Rules, models, modes, hosts, events: operators and administrators. */
  change: boolean;
  /** Users, tokens and settings: administrators. */
  govern: boolean;
}

/** What the reader may do. */
export function useMay(): May {
  const { role } = useSession();
  return useMemo(() => ({ change: role === "operator" || role === "admin", govern: role === "admin" }), [role]);
}
