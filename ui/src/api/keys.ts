/**
 * The cache's keys. The first word is what is kept, so that `invalidate({ queryKey: keys.rules() })` reaches every form of it.
 * Changing rules touches `radar`, `edges` and `events` too: their colours depend on them.
 */
export const keys = {
  session: () => ["session"] as const,
  status: () => ["status"] as const,
  radar: (filter?: unknown) => (filter === undefined ? (["radar"] as const) : (["radar", filter] as const)),
  services: () => ["services"] as const,
  service: (key: string) => ["services", key] as const,
  edges: (filter?: unknown) => (filter === undefined ? (["edges"] as const) : (["edges", filter] as const)),
  rules: () => ["rules"] as const,
  objects: () => ["objects"] as const,
  revisions: () => ["revisions"] as const,
  definitions: () => ["definitions"] as const,
  models: () => ["models"] as const,
  model: (service: string) => ["models", service] as const,
  events: (filter?: unknown) => (filter === undefined ? (["events"] as const) : (["events", filter] as const)),
  event: (id: bigint) => ["events", "one", id.toString()] as const,
  defenders: () => ["defenders"] as const,
  settings: () => ["settings"] as const,
  users: () => ["users"] as const,
  tokens: () => ["tokens"] as const,
  channels: () => ["channels"] as const,
  audit: (filter?: unknown) => (filter === undefined ? (["audit"] as const) : (["audit", filter] as const)),
};
