import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { settings as api, session } from "~/api/clients";
import { inWords } from "~/api/errors";
import { keys } from "~/api/keys";
import { Choice, Field } from "~/parts/form";
import { useMay } from "~/parts/may";
import { Sheet } from "~/parts/page";
import { Facts } from "~/parts/pane";
import { span } from "~/parts/spans";
import { Failed, Loading } from "~/parts/states";
import { done } from "~/parts/toasts";
import { safe } from "~/text/safe";
import { settings } from "~/text/settings";
import styles from "./settings.module.css";

const words = settings.general;

/** Settings of few words, with these words; others are durations or texts. */
const WORDS: Record<string, readonly string[]> = {
  learning: ["on", "off"],
  anomaly_effect: ["alert", "prevent"],
  default_mode: ["observe", "enforce"],
};

const GROUPS: Record<Exclude<keyof typeof words.groups, "other">, readonly string[]> = {
  learning: ["learning", "learn_for", "dry_run_for", "archive_after", "delete_after"],
  anomalies: ["anomaly_effect", "default_mode"],
  record: ["edges_hourly_for", "edges_daily_for"],
};
const KNOWN = new Set(Object.values(GROUPS).flat());

/** All that the controller lets be set; what this page does not know yet is a text under its own name. */
export function GeneralPart() {
  const may = useMay();
  const { data, error, refetch } = useQuery({ queryKey: keys.settings(), queryFn: ({ signal }) => api.getSettings({}, { signal }) });
  if (error && !data) return <Failed error={error} onRetry={() => refetch()} />;
  if (!data) return <Loading />;
  const others = Object.keys(data.values).filter((name) => !KNOWN.has(name));
  const groups = [...Object.entries(GROUPS), ["other", others] as const];
  return (
    <Sheet label={words.label}>
      {!may.govern && <p className={styles.note}>{words.readOnly}</p>}
      <SigningIn />
      {groups.map(([group, names]) => {
        const there = names.filter((name) => name in data.values);
        if (there.length === 0) return null;
        return (
          <section key={group} className={styles.group}>
            <h2>{words.groups[group as "other"]}</h2>
            <div className={styles.settings}>
              {there.map((name) => (
                <Setting key={`${name} ${data.values[name]}`} name={name} value={data.values[name] ?? ""} disabled={!may.govern} />
              ))}
            </div>
          </section>
        );
      })}
    </Sheet>
  );
}

/** How people come in; that is set where the controller runs. */
function SigningIn() {
  const { data } = useQuery({
    queryKey: ["sign-in"],
    queryFn: ({ signal }) => session.getSignInOptions({}, { signal }),
    staleTime: 60_000,
  });
  return (
    <section className={styles.group}>
      <h2>{words.signIn}</h2>
      <Facts of={[[words.oidc, data && (data.oidc ? words.oidcOn(safe(data.oidcName, 80)) : words.oidcOff)]]} />
      <p className={styles.help}>{words.oidcHelp}</p>
    </section>
  );
}

function Setting(props: { name: string; value: string; disabled: boolean }) {
  const { name, value, disabled } = props;
  const client = useQueryClient();
  const [written, setWritten] = useState(value);
  const [title, help] = words.names[name] ?? [safe(name), ""];
  const set = useMutation({
    mutationFn: (next: string) => api.setSetting({ name, value: next }),
    onSuccess: (all) => {
      client.setQueryData(keys.settings(), all);
      done(words.saved(title));
    },
  });
  const few = WORDS[name];
  const error = set.error ? inWords(set.error) : undefined;
  if (few) {
    return (
      <div className={styles.setting}>
        <Choice
          name={title}
          value={set.isPending ? (set.variables ?? value) : value}
          disabled={disabled}
          onChange={(next) => set.mutate(next)}
          of={few.map((word) => ({ value: word, name: words.words[word] ?? word }))}
        />
        {(error ?? help) && <p className={error ? styles.wrong : styles.help}>{error ?? help}</p>}
      </div>
    );
  }
  const changed = written.trim() !== value;
  const wrong = changed && KNOWN.has(name) && span(written) === undefined ? words.wrong : error;
  return (
    <form
      className={styles.setting}
      onSubmit={(event) => {
        event.preventDefault();
        if (changed && (!KNOWN.has(name) || span(written) !== undefined)) set.mutate(written.trim());
      }}
    >
      <Field name={title} help={help} wrong={wrong}>
        {(wiring) => (
          <div className={styles.value}>
            <input className="input" disabled={disabled} value={written} onChange={(event) => setWritten(event.target.value)} {...wiring} />
            {changed && !disabled && (
              <button type="submit" className="btn primary" disabled={set.isPending || wrong === words.wrong}>
                {words.save}
              </button>
            )}
          </div>
        )}
      </Field>
    </form>
  );
}
