import { fleet } from "./clients";
import { keys } from "./keys";
import { every } from "./pages";

/** All hosts with a defender, and what gives one of them the controller's own version. */
export const allHosts = {
  queryKey: [...keys.defenders(), "all"],
  queryFn: async ({ signal }: { signal: AbortSignal }) => {
    let upgrade = "";
    const hosts = await every(
      async (page) => {
        const answer = await fleet.listDefenders({ page }, { signal });
        upgrade = answer.upgradeCommand;
        return answer;
      },
      (answer) => answer.defenders,
    );
    return { hosts, upgrade };
  },
};
