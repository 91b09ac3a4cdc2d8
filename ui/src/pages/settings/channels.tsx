import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { BellRing, CircleAlert, CircleCheck, Pencil, Plus, Power, Send, Trash2 } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { channels as api } from "~/api/clients";
import { keys } from "~/api/keys";
import type { Channel } from "~/gen/cnnf/v1/channel_pb";
import { Chip } from "~/parts/chips";
import { Confirm, type Question } from "~/parts/dialog";
import type { Field as FilterField } from "~/parts/filter";
import { useMay } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { Name } from "~/parts/name";
import { useDeed, useNamed } from "~/parts/named";
import { Facts, Pane, Section } from "~/parts/pane";
import { rfc3339 } from "~/parts/stamp";
import { Empty } from "~/parts/states";
import type { Column } from "~/parts/table";
import { failed } from "~/parts/toasts";
import { Ago, When } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { channels as words } from "~/text/channels";
import { number } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { KINDS, kindOf, placeOf, stateOf } from "./channel";
import { ChannelForm } from "./channel-form";
import type { Frame } from "./index";
import styles from "./settings.module.css";
import { Tested } from "./tested";

const SHAPE = { q: textParam(), channel: textParam() };
const FIELDS: FilterField<Channel>[] = [
  { key: "kind", label: words.columns.kind, of: kindOf, words: [...KINDS] },
  { key: "is", label: words.columns.state, of: stateOf, words: ["arrives", "failing", "unused", "disabled"] },
  { key: "to", label: words.columns.to, of: placeOf },
];

/** Where operators are told of events outside of cnnf. */
export function ChannelsPart(props: { frame: Frame }) {
  const client = useQueryClient();
  const may = useMay();
  const [at, setAt] = useAddress(SHAPE);
  const [editing, setEditing] = useState<{ old: Channel | undefined }>();
  const [question, setQuestion] = useState<Question>();
  const { data, error, refetch } = useQuery({
    queryKey: keys.channels(),
    queryFn: ({ signal }) => api.listChannels({}, { signal }),
    // What became of messages is told by nobody.
    refetchInterval: 5_000,
  });
  const settle = useCallback(() => void client.invalidateQueries({ queryKey: keys.channels() }), [client]);
  const remove = useDeed(
    async (name: string) => {
      await api.deleteChannel({ name });
      setAt({ channel: "" });
    },
    (_, name) => words.did.deleted(safe(name)),
    settle,
  );
  const toggle = useDeed(
    (channel: Channel) => api.updateChannel({ channel: { ...channel, disabled: !channel.disabled } }),
    ({ name, disabled }) => (disabled ? words.did.disabled(safe(name)) : words.did.enabled(safe(name))),
    settle,
  );
  const govern = may.govern;
  const columns = useMemo<Column<Channel>[]>(
    () => [
      { id: "name", head: words.columns.name, width: "minmax(110px, 1fr)", cell: ({ name }) => <Name of={name} strong /> },
      { id: "kind", head: words.columns.kind, width: "90px", cell: (channel) => words.short[kindOf(channel)] },
      { id: "to", head: words.columns.to, width: "minmax(120px, 1.6fr)", drop: 1, cell: (channel) => <Name of={placeOf(channel)} /> },
      { id: "state", head: words.columns.state, width: "140px", cell: (channel) => <StateChip of={channel} /> },
      {
        id: "pending",
        head: words.columns.pending,
        width: "74px",
        end: true,
        drop: 3,
        cell: ({ state }) => number(state?.pending ?? 0n),
      },
      { id: "sent", head: words.columns.sent, width: "74px", end: true, drop: 2, cell: ({ state }) => number(state?.sent ?? 0n) },
      { id: "last", head: words.columns.last, width: "110px", drop: 2, cell: ({ state }) => <Last at={rfc3339(state?.lastSuccess)} /> },
      ...(govern
        ? [
            {
              id: "more",
              head: words.columns.more,
              quiet: true,
              width: "30px",
              cell: (channel: Channel) => (
                <Menu
                  label={parts.actionsFor(safe(channel.name, 80))}
                  items={[
                    { name: words.actions.edit, icon: Pencil, act: () => setEditing({ old: channel }) },
                    {
                      name: channel.disabled ? words.actions.enable : words.actions.disable,
                      icon: Power,
                      act: () => toggle(channel),
                    },
                    "line",
                    {
                      name: words.actions.delete,
                      icon: Trash2,
                      danger: true,
                      act: () =>
                        setQuestion({
                          title: words.askDelete(safe(channel.name, 80)),
                          help: words.askDeleteHelp,
                          yes: words.yesDelete,
                          act: () => remove(channel.name),
                        }),
                    },
                  ]}
                />
              ),
            },
          ]
        : []),
    ],
    [govern, toggle, remove],
  );
  const selected = data?.channels.find(({ name }) => name === at.channel);
  const close = useCallback(() => setAt({ channel: "" }), [setAt]);
  const add = govern && (
    <button type="button" className="btn primary" onClick={() => setEditing({ old: undefined })}>
      <Plus size={15} aria-hidden />
      {words.add}
    </button>
  );
  const { bar, table } = useNamed({
    label: words.table,
    rows: data?.channels,
    error,
    onRetry: refetch,
    columns,
    fields: FIELDS,
    placeholder: words.find,
    q: at.q,
    onFilter: (q, how) => setAt({ q }, how),
    selected: at.channel || undefined,
    onOpen: ({ name }) => setAt({ channel: name }),
    none: (
      <Empty title={words.empty} icon={<BellRing size={32} strokeWidth={1.25} aria-hidden />} action={add}>
        {words.emptyHelp}
      </Empty>
    ),
  });
  return props.frame(
    <>
      {table}
      {editing && <ChannelForm old={editing.old} onClose={() => setEditing(undefined)} onDone={settle} />}
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </>,
    {
      actions: add,
      bar,
      pane: selected && (
        <ChannelPane
          key={selected.name}
          of={selected}
          may={govern}
          onEdit={() => setEditing({ old: selected })}
          onClose={close}
          onTested={settle}
        />
      ),
    },
  );
}

function StateChip({ of }: { of: Channel }) {
  const state = stateOf(of);
  const name = words.states[state];
  if (state === "failing")
    return (
      <Chip tone="bad" icon={CircleAlert} title={safe(of.state?.lastError ?? "", 300)}>
        {name}
      </Chip>
    );
  if (state === "arrives")
    return (
      <Chip tone="good" icon={CircleCheck}>
        {name}
      </Chip>
    );
  return <Chip tone="faint">{name}</Chip>;
}

function Last({ at }: { at: string }) {
  return at ? <Ago at={at} /> : <span className={styles.faint}>{words.never}</span>;
}

function ChannelPane(props: { of: Channel; may: boolean; onEdit(): void; onClose(): void; onTested(): void }) {
  const { of: channel } = props;
  const { state, route, rate } = channel;
  const test = useMutation({
    mutationFn: () => api.testChannel({ name: channel.name }),
    onError: failed,
    onSettled: props.onTested,
  });
  const list = (texts: readonly string[] | undefined) => texts && texts.length > 0 && safe(texts.join(", "), 600);
  const routed = route && route.kinds.length + route.rules.length + route.services.length + Object.keys(route.labels).length > 0;
  const usual = rate === undefined ? words.pane.usual : rate.messages === 0 ? words.pane.unbounded : undefined;
  return (
    <Pane
      label={words.pane.label(safe(channel.name, 80))}
      title={<bdi>{safe(channel.name, 80)}</bdi>}
      kicker={words.kinds[kindOf(channel)]}
      onClose={props.onClose}
      actions={
        props.may && (
          <>
            <button type="button" className="btn" disabled={test.isPending} onClick={() => test.mutate()}>
              <Send size={14} aria-hidden />
              {words.actions.test}
            </button>
            <button type="button" className="btn" onClick={props.onEdit}>
              <Pencil size={14} aria-hidden />
              {words.actions.edit}
            </button>
          </>
        )
      }
    >
      <Tested waits={test.isPending} answer={test.data} udp={placeOf(channel).startsWith("udp:")} />
      <Section title={words.pane.delivery}>
        <Facts
          of={[
            [words.columns.state, <StateChip key="state" of={channel} />],
            [words.columns.to, safe(placeOf(channel), 300)],
            [words.columns.sent, number(state?.sent ?? 0n)],
            [words.pane.folded, number(state?.folded ?? 0n)],
            [words.columns.pending, number(state?.pending ?? 0n)],
            [words.columns.last, <Last key="last" at={rfc3339(state?.lastSuccess)} />],
            [words.pane.error, state?.lastError && safe(state.lastError, 600)],
            [words.pane.when, state?.lastError && <When key="when" at={rfc3339(state.lastFailure)} />],
          ]}
        />
      </Section>
      <Section title={words.pane.route}>
        <Facts
          of={[
            [
              words.form.kinds,
              routed ? list(route.kinds.map((kind) => (parts.kinds as Record<string, string>)[kind] ?? kind)) : words.pane.all,
            ],
            [words.form.rules, list(route?.rules)],
            [words.form.services, list(route?.services)],
            [words.form.labels, list(Object.entries(route?.labels ?? {}).map(([key, value]) => `${key}=${value}`))],
            [words.pane.rate, usual ?? words.pane.rateOf(rate?.messages ?? 0, rate?.seconds ?? 0)],
          ]}
        />
      </Section>
      <Section title={words.pane.about}>
        <Facts
          of={[
            [words.pane.changedBy, safe(channel.changedBy, 100)],
            [words.pane.changed, channel.changed && <When key="changed" at={rfc3339(channel.changed)} />],
          ]}
        />
      </Section>
    </Pane>
  );
}
