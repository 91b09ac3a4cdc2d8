import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus, Trash2 } from "lucide-react";
import { useMemo, useState } from "react";
import { apiTokens as api } from "~/api/clients";
import { keys } from "~/api/keys";
import { atFields } from "~/api/violations";
import type { ApiToken } from "~/gen/cnnf/v1/access_pb";
import { RoleChip } from "~/parts/chips";
import { Command } from "~/parts/copy";
import { Confirm, Dialog, DialogActions, type Question } from "~/parts/dialog";
import type { Field as FilterField } from "~/parts/filter";
import { Field, Fields, Refused } from "~/parts/form";
import { Menu } from "~/parts/menu";
import { Name } from "~/parts/name";
import { useDeed, useNamed } from "~/parts/named";
import { rfc3339 } from "~/parts/stamp";
import { Empty } from "~/parts/states";
import type { Column } from "~/parts/table";
import { Ago } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { time } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { settings } from "~/text/settings";
import type { Frame } from "./index";
import styles from "./settings.module.css";
import { RoleField } from "./users";

const SHAPE = { q: textParam() };
const words = settings.tokens;
const FIELDS: FilterField<ApiToken>[] = [
  { key: "role", label: words.columns.role, of: ({ role }) => role, words: ["auditor", "operator", "admin"] },
  { key: "by", label: words.columns.createdBy, of: ({ createdBy }) => createdBy },
];

/** What programs come in with. */
export function TokensPart(props: { frame: Frame }) {
  const client = useQueryClient();
  const [at, setAt] = useAddress(SHAPE);
  const [making, setMaking] = useState(false);
  const [question, setQuestion] = useState<Question>();
  const { data, error, refetch } = useQuery({ queryKey: keys.tokens(), queryFn: ({ signal }) => api.listTokens({}, { signal }) });
  const settle = () => void client.invalidateQueries({ queryKey: keys.tokens() });
  const end = useDeed(
    (name: string) => api.revokeToken({ name }),
    (_, name) => words.revoked(safe(name)),
    settle,
  );
  const columns = useMemo<Column<ApiToken>[]>(
    () => [
      { id: "name", head: words.columns.name, width: "minmax(120px, 1.5fr)", cell: ({ name }) => <Name of={name} strong /> },
      { id: "role", head: words.columns.role, width: "100px", cell: ({ role }) => <RoleChip role={role} /> },
      {
        id: "expires",
        head: words.columns.expires,
        width: "112px",
        cell: ({ expires }) => {
          const at = rfc3339(expires);
          return (
            <span title={time(at)}>
              {Date.parse(at) < Date.now() ? <span className={styles.wrong}>{words.expired}</span> : at.slice(0, 10)}
            </span>
          );
        },
      },
      {
        id: "lastUsed",
        head: words.columns.lastUsed,
        width: "110px",
        cell: ({ lastUsed }) => (lastUsed ? <Ago at={rfc3339(lastUsed)} /> : <span className={styles.faint}>{words.never}</span>),
      },
      {
        id: "createdBy",
        head: words.columns.createdBy,
        width: "minmax(90px, 1fr)",
        drop: 1,
        cell: ({ createdBy }) => <Name of={createdBy} />,
      },
      { id: "created", head: words.columns.created, width: "100px", drop: 3, cell: ({ created }) => <Ago at={rfc3339(created)} /> },
      {
        id: "more",
        head: words.columns.more,
        quiet: true,
        width: "30px",
        cell: ({ name }) => (
          <Menu
            label={parts.actionsFor(safe(name, 80))}
            items={[
              {
                name: words.revoke,
                icon: Trash2,
                danger: true,
                act: () =>
                  setQuestion({
                    title: words.askRevoke(safe(name)),
                    help: words.askRevokeHelp,
                    yes: words.yesRevoke,
                    act: () => end(name),
                  }),
              },
            ]}
          />
        ),
      },
    ],
    [end],
  );
  const add = (
    <button type="button" className="btn primary" onClick={() => setMaking(true)}>
      <Plus size={15} aria-hidden />
      {words.add}
    </button>
  );
  const { bar, table } = useNamed({
    label: words.table,
    rows: data?.tokens,
    error,
    onRetry: refetch,
    columns,
    fields: FIELDS,
    placeholder: words.find,
    q: at.q,
    onFilter: (q, how) => setAt({ q }, how),
    none: (
      <Empty title={words.empty} icon={<KeyRound size={32} strokeWidth={1.25} aria-hidden />} action={add}>
        {words.emptyHelp}
      </Empty>
    ),
  });
  return props.frame(
    <>
      {table}
      {making && <TokenDialog onClose={() => setMaking(false)} onDone={settle} />}
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </>,
    { actions: add, bar },
  );
}

function TokenDialog(props: { onClose(): void; onDone(): void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("auditor");
  const [ttl, setTtl] = useState("7776000");
  const make = useMutation({
    mutationFn: () => api.createToken({ name: name.trim(), role, ttlSeconds: Number(ttl) }),
    onSettled: props.onDone,
  });
  const refused = atFields(make.error, "name", "role", "ttl_seconds");
  if (make.data) {
    return (
      <Dialog open onClose={props.onClose} title={words.secretTitle} help={words.secretHelp}>
        <Command text={make.data.secret} label={words.secretTitle} />
        <DialogActions>
          <button type="button" className="btn primary" onClick={props.onClose}>
            {words.done}
          </button>
        </DialogActions>
      </Dialog>
    );
  }
  return (
    <Dialog open onClose={props.onClose} title={words.add}>
      <form
        onInput={() => make.reset()}
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== "") make.mutate();
        }}
      >
        <Fields>
          <Field name={words.columns.name} help={settings.users.nameHelp} wrong={refused.at.name}>
            {(wiring) => (
              <input
                className="input"
                autoComplete="off"
                placeholder="ci-pipeline"
                value={name}
                onChange={(event) => setName(event.target.value)}
                {...wiring}
              />
            )}
          </Field>
          <RoleField value={role} onChange={setRole} wrong={refused.at.role} />
          <Field name={words.ttl} wrong={refused.at.ttl_seconds}>
            {(wiring) => (
              <select className="input" value={ttl} onChange={(event) => setTtl(event.target.value)} {...wiring}>
                {Object.entries(words.ttls).map(([seconds, span]) => (
                  <option key={seconds} value={seconds}>
                    {span}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Refused error={refused.rest} />
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button type="submit" className="btn primary" disabled={name.trim() === "" || make.isPending}>
            {words.make}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
