import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { topology } from "~/api/clients";
import { allHosts } from "~/api/hosts";
import { keys } from "~/api/keys";
import { countAddresses, isWithin, rangeOf } from "~/parts/address";
import { Facts } from "~/parts/pane";
import { defend } from "~/text/defend";
import { count, number } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";

/** So many names are written; the rest is a number. */
const SHOWN = 12;

/** What networks hold: how many addresses, which of those that were seen, and which hosts. */
export function Holds(props: { addresses: readonly string[] }) {
  const seen = useQuery({
    queryKey: keys.radar("addresses"),
    queryFn: ({ signal }) => topology.getRadar({}, { signal }),
    staleTime: 30_000,
    retry: false,
  });
  const hosts = useQuery({
    ...allHosts,
    staleTime: 30_000,
  });
  const ranges = useMemo(() => props.addresses.flatMap((text) => rangeOf(text) ?? []), [props.addresses]);
  const { four, six } = countAddresses(ranges);
  // What is in a declared network already is shown under its name, and does not count as an address of its own.
  const nodes = (seen.data?.nodes ?? []).filter(({ kind, id }) => kind === "address" && isWithin(id, ranges)).map(({ id }) => id);
  const within = (hosts.data?.hosts ?? [])
    .filter(({ addresses }) => addresses.some((address) => isWithin(address, ranges)))
    .map(({ host }) => host);
  return (
    <Facts
      of={[
        [defend.objects.addresses, defend.objects.size(four > 0n ? large(four) : "", six > 0n ? large(six) : "")],
        [defend.objects.seen, seen.data && (nodes.length > 0 ? some(nodes) : defend.objects.noneSeen)],
        [defend.objects.hosts, within.length > 0 && `${some(within)}. ${defend.objects.hostsNote}`],
      ]}
    />
  );
}

/** Exact while that can be read, then a power of two. */
function large(n: bigint): string {
  return n < 1_000_000_000_000n ? number(n) : `2^${n.toString(2).length - 1}`;
}

function some(names: readonly string[]): string {
  const shown = names
    .slice(0, SHOWN)
    .map((name) => safe(name, 60))
    .join(", ");
  return names.length > SHOWN ? `${shown}; ${parts.more(count(names.length - SHOWN, "other"))}` : shown;
}
