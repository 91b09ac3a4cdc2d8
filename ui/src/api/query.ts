import { QueryClient } from "@tanstack/react-query";
import { mayRetry } from "./errors";

/** The cache of answers. Only what a lost connection caused is tried again by itself. */
export function makeQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        retry: (failures, error) => mayRetry(error) && failures < 3,
        retryDelay: (attempt) => Math.min(1000 * 2 ** attempt, 10_000) * (0.5 + Math.random()),
        staleTime: 2_000,
        refetchOnWindowFocus: true,
      },
      mutations: { retry: false },
    },
  });
}
