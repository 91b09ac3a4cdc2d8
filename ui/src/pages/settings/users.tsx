import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { KeyRound, Plus, Trash2, UserCheck, UserCog, UserX } from "lucide-react";
import { useMemo, useState } from "react";
import { users as api } from "~/api/clients";
import { keys } from "~/api/keys";
import { atFields } from "~/api/violations";
import type { User } from "~/gen/cnnf/v1/access_pb";
import { RoleChip } from "~/parts/chips";
import { Command } from "~/parts/copy";
import { Confirm, Dialog, DialogActions, type Question } from "~/parts/dialog";
import type { Field as FilterField } from "~/parts/filter";
import { Field, Fields, Refused, type Wiring } from "~/parts/form";
import { Menu } from "~/parts/menu";
import { Name } from "~/parts/name";
import { useDeed, useNamed } from "~/parts/named";
import { isLong, LEAST, makePassword } from "~/parts/password";
import { rfc3339 } from "~/parts/stamp";
import type { Column } from "~/parts/table";
import { done } from "~/parts/toasts";
import { Ago } from "~/parts/when";
import { textParam, useAddress } from "~/shell/address";
import { useSession } from "~/shell/session";
import { text } from "~/text";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { settings } from "~/text/settings";
import type { Frame } from "./index";
import styles from "./settings.module.css";

const SHAPE = { q: textParam() };
const words = settings.users;
const ROLES = ["auditor", "operator", "admin"] as const;
const FIELDS: FilterField<User>[] = [
  { key: "role", label: words.role, of: ({ role }) => role, words: ROLES },
  { key: "is", label: parts.state, of: ({ disabled }) => (disabled ? "disabled" : "active"), words: ["active", "disabled"] },
];

type Editing = { what: "add" } | { what: "role" | "password"; user: User };

/** People who sign in. */
export function UsersPart(props: { frame: Frame }) {
  const client = useQueryClient();
  const me = useSession().user;
  const [at, setAt] = useAddress(SHAPE);
  const [editing, setEditing] = useState<Editing>();
  const [question, setQuestion] = useState<Question>();
  const { data, error, refetch } = useQuery({ queryKey: keys.users(), queryFn: ({ signal }) => api.listUsers({}, { signal }) });
  const settle = () => void client.invalidateQueries({ queryKey: keys.users() });
  const disable = useDeed(
    (values: { name: string; disabled: boolean }) => api.updateUser(values),
    ({ name }) => words.changed(safe(name)),
    settle,
  );
  const drop = useDeed(
    (name: string) => api.deleteUser({ name }),
    (_, name) => words.deleted(safe(name)),
    settle,
  );
  const columns = useMemo<Column<User>[]>(
    () => [
      {
        id: "name",
        head: words.columns.name,
        width: "minmax(120px, 1.5fr)",
        cell: ({ name }) => (
          <>
            <Name of={name} strong />
            {name === me && <span className={styles.you}>{words.you}</span>}
          </>
        ),
      },
      { id: "role", head: words.columns.role, width: "100px", cell: ({ role }) => <RoleChip role={role} /> },
      {
        id: "state",
        head: words.columns.state,
        width: "minmax(100px, 1fr)",
        cell: ({ disabled, mustChangePassword }) =>
          disabled ? <span className={styles.faint}>{words.disabled}</span> : mustChangePassword ? words.mustChange : words.active,
      },
      {
        id: "lastSignIn",
        head: words.columns.lastSignIn,
        width: "116px",
        cell: ({ lastSignIn }) => (lastSignIn ? <Ago at={rfc3339(lastSignIn)} /> : <span className={styles.faint}>{words.never}</span>),
      },
      {
        id: "by",
        head: words.columns.by,
        width: "minmax(90px, 1fr)",
        drop: 2,
        cell: ({ issuer }) => (issuer ? <Name of={issuer} /> : words.byPassword),
      },
      { id: "created", head: words.columns.created, width: "100px", drop: 1, cell: ({ created }) => <Ago at={rfc3339(created)} /> },
      {
        id: "more",
        head: words.columns.more,
        quiet: true,
        width: "30px",
        cell: (user) => (
          <Menu
            label={parts.actionsFor(safe(user.name, 80))}
            items={[
              // Whom a provider signs in has its role and password from there.
              user.issuer === "" && { name: words.actions.role, icon: UserCog, act: () => setEditing({ what: "role", user }) },
              user.issuer === "" && { name: words.actions.password, icon: KeyRound, act: () => setEditing({ what: "password", user }) },
              user.issuer === "" && "line",
              user.disabled
                ? { name: words.actions.enable, icon: UserCheck, act: () => disable({ name: user.name, disabled: false }) }
                : {
                    name: words.actions.disable,
                    icon: UserX,
                    danger: true,
                    act: () =>
                      setQuestion({
                        title: words.askDisable(safe(user.name)),
                        help: words.askDisableHelp,
                        yes: words.actions.disable,
                        act: () => disable({ name: user.name, disabled: true }),
                      }),
                  },
              {
                name: words.actions.delete,
                icon: Trash2,
                danger: true,
                act: () =>
                  setQuestion({
                    title: words.askDelete(safe(user.name)),
                    help: words.askDeleteHelp,
                    yes: words.actions.delete.replace("…", ""),
                    act: () => drop(user.name),
                  }),
              },
            ]}
          />
        ),
      },
    ],
    [me, disable, drop],
  );
  const { bar, table } = useNamed({
    label: words.table,
    rows: data?.users,
    error,
    onRetry: refetch,
    columns,
    fields: FIELDS,
    placeholder: words.find,
    q: at.q,
    onFilter: (q, how) => setAt({ q }, how),
    onOpen: (user) => user.issuer === "" && setEditing({ what: "role", user }),
  });
  return props.frame(
    <>
      {table}
      {editing && <UserDialog editing={editing} onClose={() => setEditing(undefined)} onDone={settle} />}
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </>,
    {
      actions: (
        <button type="button" className="btn primary" onClick={() => setEditing({ what: "add" })}>
          <Plus size={15} aria-hidden />
          {words.add}
        </button>
      ),
      bar,
    },
  );
}

function UserDialog(props: { editing: Editing; onClose(): void; onDone(): void }) {
  const { editing } = props;
  const known = editing.what === "add" ? undefined : editing.user;
  const [name, setName] = useState(known?.name ?? "");
  const [role, setRole] = useState(known?.role ?? "operator");
  const [password, setPassword] = useState("");
  const [tried, setTried] = useState(false);
  const save = useMutation({
    mutationFn: () => {
      if (editing.what === "add") return api.addUser({ name: name.trim(), role, password });
      return api.updateUser(editing.what === "role" ? { name, role } : { name, password });
    },
    onSuccess: () => {
      // A password is handed over by hand; without one there is nothing left to show.
      if (editing.what !== "role") return;
      done(words.changed(safe(name)));
      props.onClose();
    },
    onSettled: props.onDone,
  });
  const refused = atFields(save.error, "name", "role", "password");
  const wrongName = /^[A-Za-z0-9._@-]{1,64}$/.test(name.trim()) ? undefined : words.nameHelp;
  const wrongPassword = editing.what === "role" || isLong(password) ? undefined : text.signIn.short(LEAST);
  const titles = { add: words.add, role: words.editTitle(safe(name, 64)), password: words.passwordTitle(safe(name, 64)) };
  const handed = save.isSuccess && editing.what !== "role";
  return (
    <Dialog open onClose={props.onClose} title={handed && editing.what === "add" ? words.added(safe(name, 64)) : titles[editing.what]}>
      {handed ? (
        <div className={styles.secret}>
          <p>{words.handOver(safe(name, 64))}</p>
          <Command text={password} label={words.password} />
          <DialogActions>
            <button type="button" className="btn primary" onClick={props.onClose}>
              {settings.tokens.done}
            </button>
          </DialogActions>
        </div>
      ) : (
        <form
          noValidate
          onInput={() => save.reset()}
          onSubmit={(event) => {
            event.preventDefault();
            setTried(true);
            if (!wrongName && !wrongPassword) save.mutate();
          }}
        >
          <Fields>
            {editing.what === "add" && (
              <Field name={words.name} help={words.nameHelp} wrong={tried ? (wrongName ?? refused.at.name) : undefined}>
                {(wiring) => (
                  <input className="input" autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} {...wiring} />
                )}
              </Field>
            )}
            {editing.what !== "password" && <RoleField value={role} onChange={setRole} wrong={refused.at.role} />}
            {editing.what !== "role" && (
              <Field
                name={editing.what === "add" ? words.password : words.newPassword}
                help={words.passwordHelp}
                wrong={tried ? (wrongPassword ?? refused.at.password) : undefined}
              >
                {(wiring: Wiring) => (
                  <div className={styles.password}>
                    <input
                      className="input mono"
                      autoComplete="new-password"
                      spellCheck={false}
                      value={password}
                      onChange={(event) => setPassword(event.target.value)}
                      {...wiring}
                    />
                    <button type="button" className="btn" onClick={() => setPassword(makePassword())}>
                      {words.generate}
                    </button>
                  </div>
                )}
              </Field>
            )}
            <Refused error={refused.rest} />
          </Fields>
          <DialogActions onCancel={props.onClose}>
            <button type="submit" className="btn primary" disabled={save.isPending}>
              {editing.what === "add" ? words.add : words.save}
            </button>
          </DialogActions>
        </form>
      )}
    </Dialog>
  );
}

/** One of the three roles, with what it allows. */
export function RoleField(props: { value: string; onChange(role: string): void; wrong?: string | undefined }) {
  return (
    <Field name={words.role} wrong={props.wrong}>
      {(wiring) => (
        <select className="input" value={props.value} onChange={(event) => props.onChange(event.target.value)} {...wiring}>
          {ROLES.map((role) => (
            <option key={role} value={role}>
              {words.roles[role]}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
