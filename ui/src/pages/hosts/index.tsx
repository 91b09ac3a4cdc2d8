import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleAlert, Eye, Plus, Server, Shield, ShieldX, Trash2, TriangleAlert, Unplug, Wifi } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { fleet } from "~/api/clients";
import { allHosts } from "~/api/hosts";
import { keys } from "~/api/keys";
import type { Defender } from "~/gen/cnnf/v1/admin_pb";
import { Chip, LabelChips, ModeChip } from "~/parts/chips";
import { Confirm, type Question } from "~/parts/dialog";
import { matcher, readFilter } from "~/parts/filter";
import { FilterBar } from "~/parts/filter-bar";
import { useMay } from "~/parts/may";
import { Menu, type MenuItem } from "~/parts/menu";
import { Name } from "~/parts/name";
import { NothingFound } from "~/parts/nothing-found";
import { Page } from "~/parts/page";
import { Empty, Pending } from "~/parts/states";
import { type Column, DataTable, type Sort, sorted } from "~/parts/table";
import { done, failed } from "~/parts/toasts";
import { Ago } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { HOSTS_LINK } from "~/shell/links";
import { count, number } from "~/text/format";
import { hosts } from "~/text/hosts";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { EnrollDialog } from "./enroll";
import { HostPane } from "./host-pane";
import { eventsOf, HOST_FIELDS, HOST_KEYS, hostStatus, policyState } from "./status";

const SHAPE = { ...HOSTS_LINK, q: textParam(), sort: textParam() };

/** Defended hosts, and letting new ones in. */
export default function Hosts() {
  const may = useMay();
  const client = useQueryClient();
  const [at, setAt] = useAddress(SHAPE);
  const [question, setQuestion] = useState<Question>();
  const { data, error, refetch } = useQuery({
    ...allHosts,
    refetchInterval: at.enroll ? 1_500 : 5_000,
  });
  const all = data?.hosts ?? NONE;
  const settle = useCallback(() => {
    for (const key of [keys.defenders(), keys.status(), keys.radar()]) void client.invalidateQueries({ queryKey: key });
  }, [client]);
  const setMode = useMutation({
    mutationFn: ({ id, mode }: { id: string; mode: string }) => fleet.setDefenderMode({ host: id, mode }),
    onSuccess: ({ host, mode }) => done(hosts.did.mode(safe(host), mode)),
    onError: failed,
    onSettled: settle,
  });
  const revoke = useMutation({
    mutationFn: (id: string) => fleet.revokeDefender({ host: id }),
    onSuccess: ({ host }) => done(hosts.did.revoked(safe(host))),
    onError: failed,
    onSettled: settle,
  });
  const remove = useMutation({
    mutationFn: (id: string) => fleet.deleteDefender({ host: id }),
    onSuccess: ({ host }) => {
      done(hosts.did.deleted(safe(host)));
      setAt({ host: "" });
    },
    onError: failed,
    onSettled: settle,
  });

  const ask = useCallback(
    (defender: Defender, what: "enforce" | "observe" | "revoke" | "delete") => {
      const { id, host } = defender;
      const name = safe(host, 60);
      const questions: Record<typeof what, Question> = {
        enforce: {
          title: hosts.ask.enforce(name),
          help: hosts.ask.enforceHelp,
          yes: hosts.ask.yesEnforce,
          act: () => setMode.mutate({ id, mode: "enforce" }),
        },
        observe: {
          title: hosts.ask.observe(name),
          help: hosts.ask.observeHelp,
          yes: hosts.ask.yesObserve,
          act: () => setMode.mutate({ id, mode: "observe" }),
        },
        revoke: { title: hosts.ask.revoke(name), help: hosts.ask.revokeHelp, yes: hosts.ask.yesRevoke, act: () => revoke.mutate(id) },
        delete: { title: hosts.ask.delete(name), help: hosts.ask.deleteHelp, yes: hosts.ask.yesDelete, act: () => remove.mutate(id) },
      };
      setQuestion(questions[what]);
    },
    [setMode.mutate, revoke.mutate, remove.mutate],
  );
  const items = useCallback(
    (defender: Defender): (MenuItem | false)[] => [
      {
        name: hosts.actions.events,
        icon: TriangleAlert,
        act: () => navigate(eventsOf(defender)),
      },
      "line",
      defender.mode === "observe"
        ? { name: hosts.actions.enforce, icon: Shield, act: () => ask(defender, "enforce") }
        : { name: hosts.actions.observe, icon: Eye, act: () => ask(defender, "observe") },
      !defender.revoked && { name: hosts.actions.revoke, icon: ShieldX, danger: true, act: () => ask(defender, "revoke") },
      {
        name: hosts.actions.delete,
        icon: Trash2,
        danger: true,
        disabled: defender.connected && !defender.revoked,
        act: () => ask(defender, "delete"),
      },
    ],
    [ask],
  );
  const columns = useMemo(() => hostColumns(may.change ? items : undefined), [may.change, items]);
  const sort = useMemo<Sort>(() => ({ by: at.sort.replace(/^-/, ""), down: at.sort.startsWith("-") }), [at.sort]);
  const found = useMemo(() => {
    const matches = matcher(readFilter(at.q, HOST_KEYS), HOST_FIELDS, ({ host, id }) => `${host}\n${id}`);
    return sorted(all.filter(matches), columns, sort);
  }, [all, at.q, columns, sort]);
  const outdated = all.filter((defender) => defender.outdated).length;
  // By id where two hosts have one name.
  const selected = all.find(({ id }) => id === at.host) ?? all.find(({ host }) => host === at.host);
  const close = useCallback(() => setAt({ host: "" }), [setAt]);
  const enroll = may.change && (
    <button type="button" className="btn primary" onClick={() => setAt({ enroll: true })}>
      <Plus size={15} aria-hidden />
      {hosts.enroll}
    </button>
  );

  return (
    <Page
      title={hosts.title}
      note={
        data && (
          <>
            {hosts.note(number(all.filter(({ connected }) => connected).length), number(all.length))}
            {outdated > 0 && (
              <>
                {" · "}
                <Link href="/hosts?q=is:outdated">{hosts.outdatedNote(number(outdated))}</Link>
              </>
            )}
          </>
        )
      }
      actions={enroll}
      bar={
        <FilterBar
          value={at.q}
          onChange={(q) => setAt({ q }, { replace: true })}
          fields={HOST_FIELDS}
          rows={all}
          placeholder={hosts.find}
        />
      }
      pane={
        selected && (
          <HostPane
            defender={selected}
            upgrade={data?.upgrade ?? ""}
            items={may.change ? items(selected) : []}
            onMode={may.change ? (mode) => ask(selected, mode) : undefined}
            onClose={close}
          />
        )
      }
    >
      {!data ? (
        <Pending error={error} onRetry={refetch} />
      ) : (
        <DataTable
          label={hosts.table}
          rows={found}
          columns={columns}
          keyOf={keyOf}
          selected={selected?.id}
          onOpen={({ id, host }) => setAt({ host: all.filter((other) => other.host === host).length > 1 ? id : host })}
          sort={sort}
          onSort={({ by, down }) => setAt({ sort: down ? `-${by}` : by }, { replace: true })}
          empty={
            at.q === "" ? (
              <Empty title={hosts.empty} icon={<Server size={32} strokeWidth={1.25} aria-hidden />} action={enroll}>
                {hosts.emptyHelp}
              </Empty>
            ) : (
              <NothingFound filter={at.q} onClear={() => setAt({ q: "" })} />
            )
          }
        />
      )}
      {at.enroll && may.change && <EnrollDialog known={all} onClose={() => setAt({ enroll: false })} onMade={settle} />}
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </Page>
  );
}

const NONE: Defender[] = [];
const keyOf = ({ id }: Defender) => id;

/** Whether a host is there. */
export function StatusChip({ defender }: { defender: Defender }) {
  const status = hostStatus(defender);
  if (status === "connected")
    return (
      <Chip tone="good" icon={Wifi}>
        {hosts.status.connected}
      </Chip>
    );
  if (status === "revoked")
    return (
      <Chip tone="bad" icon={ShieldX}>
        {hosts.status.revoked}
      </Chip>
    );
  return (
    <Chip tone="warn" icon={Unplug}>
      {hosts.status.offline}
    </Chip>
  );
}

/** Whether its policy is in force. */
export function PolicyChip({ defender }: { defender: Defender }) {
  const { outcome, desiredGeneration, appliedGeneration, message } = defender;
  const state = policyState(defender);
  if (state === "degraded" || state === "failed")
    return (
      <Chip tone="bad" icon={CircleAlert} title={safe(message)}>
        {`${state === "degraded" ? state : safe(outcome)} ${desiredGeneration}`}
      </Chip>
    );
  if (state === "behind")
    return (
      <Chip tone="warn" icon={CircleAlert}>
        {hosts.behind(appliedGeneration.toString(), desiredGeneration.toString())}
      </Chip>
    );
  return <span>{hosts.applied(appliedGeneration.toString())}</span>;
}

const text = (of: (defender: Defender) => string) => (a: Defender, b: Defender) => of(a).localeCompare(of(b), undefined, { numeric: true });

function hostColumns(items: ((defender: Defender) => (MenuItem | false)[]) | undefined): Column<Defender>[] {
  return [
    {
      id: "host",
      head: hosts.columns.host,
      width: "minmax(120px, 1.4fr)",
      sort: text(({ host }) => host),
      cell: ({ host }) => <Name of={host} strong />,
    },
    {
      id: "status",
      head: hosts.columns.status,
      width: "104px",
      sort: text(hostStatus),
      cell: (defender) => <StatusChip defender={defender} />,
    },
    { id: "mode", head: hosts.columns.mode, width: "92px", sort: text(({ mode }) => mode), cell: ({ mode }) => <ModeChip mode={mode} /> },
    {
      id: "policy",
      head: hosts.columns.policy,
      width: "116px",
      sort: text(policyState),
      cell: (defender) => <PolicyChip defender={defender} />,
    },
    {
      id: "lastSeen",
      head: hosts.columns.lastSeen,
      width: "96px",
      drop: 1,
      sort: text(({ lastSeen }) => lastSeen),
      cell: ({ lastSeen }) => <Ago at={lastSeen} />,
    },
    {
      id: "addresses",
      head: hosts.columns.addresses,
      width: "minmax(150px, 1.4fr)",
      drop: 2,
      sort: text(({ addresses }) => addresses[0] ?? ""),
      cell: ({ addresses }) => <Name of={addresses.join(", ")} mono />,
    },
    {
      id: "labels",
      head: hosts.columns.labels,
      width: "minmax(170px, 1.2fr)",
      drop: 4,
      cell: ({ labels }) => <LabelChips labels={labels} />,
    },
    {
      id: "coverage",
      head: hosts.columns.coverage,
      width: "96px",
      drop: 5,
      sort: (a, b) => a.notCovered.length - b.notCovered.length,
      cell: ({ notCovered }) =>
        notCovered.length > 0 && (
          <span title={notCovered.map((line) => safe(line)).join("\n")}>
            <Chip tone="warn" icon={TriangleAlert}>
              {count(notCovered.length, "thing")}
            </Chip>
          </span>
        ),
    },
    {
      id: "version",
      head: hosts.columns.version,
      width: "72px",
      drop: 6,
      sort: text(({ version }) => version),
      cell: ({ version, outdated }) =>
        outdated ? (
          <span title={hosts.outdatedHelp}>
            <Chip tone="warn" icon={TriangleAlert}>
              {safe(version, 20)}
            </Chip>
          </span>
        ) : (
          <Name of={version} />
        ),
    },
    {
      id: "more",
      head: hosts.columns.more,
      quiet: true,
      width: "30px",
      cell: (defender) => (items ? <Menu label={parts.actionsFor(safe(defender.host, 80))} items={items(defender)} /> : null),
    },
  ];
}
