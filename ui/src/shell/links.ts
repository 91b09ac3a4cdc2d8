import { flagParam, intParam, listParam, textParam, wordParam, writeAddress } from "./address";

/** Where pages are, and what may be said to them in their address: the only thing that they know of each other. */
export const PAGES = ["radar", "defend", "monitor", "models", "hosts", "settings", "audit"] as const;
export type PageName = (typeof PAGES)[number];

/** Radar: what is selected, by a service's key or by the edge's name. */
export const RADAR_LINK = { node: textParam(), edge: textParam(), q: textParam(), draft: flagParam() };
/** Defend: `new=1` opens the form of a new rule in the draft with these values; `rule` selects one by name. */
export const DEFEND_LINK = {
  new: flagParam(),
  from: textParam(),
  to: textParam(),
  ports: listParam(),
  effect: wordParam(["allow", "alert", "prevent"], "alert"),
  rule: textParam(),
};
/** Monitor: filters, and the event whose pane is open. */
export const MONITOR_LINK = { service: textParam(), kind: textParam(), rule: textParam(), event: intParam(0), q: textParam() };
/** Models: the service whose model is open. */
export const MODELS_LINK = { service: textParam() };
/** Hosts: the host whose pane is open; `enroll=1` opens the enrolment. */
export const HOSTS_LINK = { host: textParam(), enroll: flagParam() };

function link(page: PageName, query: string): string {
  return query ? `/${page}?${query}` : `/${page}`;
}

export const links = {
  radar: (say: { node?: string; edge?: string; q?: string } = {}) => link("radar", writeAddress(RADAR_LINK, "", say)),
  newRule: (say: { from: string; to: string; ports: readonly string[]; effect?: "allow" | "alert" | "prevent" }) =>
    link("defend", writeAddress(DEFEND_LINK, "", { ...say, new: true })),
  rule: (rule: string) => link("defend", writeAddress(DEFEND_LINK, "", { rule })),
  events: (say: { service?: string; kind?: string; rule?: string; event?: number; q?: string }) =>
    link("monitor", writeAddress(MONITOR_LINK, "", say)),
  model: (service: string) => link("models", writeAddress(MODELS_LINK, "", { service })),
  host: (host: string) => link("hosts", writeAddress(HOSTS_LINK, "", { host })),
  enroll: () => link("hosts", writeAddress(HOSTS_LINK, "", { enroll: true })),
};
