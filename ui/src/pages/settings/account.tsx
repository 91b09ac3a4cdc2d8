import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { session } from "~/api/clients";
import { RoleChip } from "~/parts/chips";
import { DialogActions } from "~/parts/dialog";
import { Field, Fields, Refused } from "~/parts/form";
import { Sheet } from "~/parts/page";
import { Facts } from "~/parts/pane";
import { rfc3339 } from "~/parts/stamp";
import { done } from "~/parts/toasts";
import { When } from "~/parts/when";
import { useSession } from "~/shell/session";
import { safe } from "~/text/safe";
import { settings } from "~/text/settings";
import { isLong } from "./password";
import styles from "./settings.module.css";

const words = settings.account;

/** Who the reader is, and their password. */
export function AccountPart() {
  const data = useSession();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const [tried, setTried] = useState(false);
  const change = useMutation({
    mutationFn: () => session.changePassword({ current, new: next }),
    onSuccess: () => {
      done(words.changed);
      for (const clear of [setCurrent, setNext, setAgain]) clear("");
      setTried(false);
    },
  });
  const wrongNext = isLong(next) ? undefined : words.tooShort;
  const wrongAgain = next === again ? undefined : words.notSame;
  const field = (name: string, value: string, set: (value: string) => void, complete: string, wrong: string | undefined, help?: string) => (
    <Field name={name} wrong={tried ? wrong : undefined} help={help}>
      {(wiring) => (
        <input
          type="password"
          className="input"
          autoComplete={complete}
          value={value}
          onChange={(event) => set(event.target.value)}
          {...wiring}
        />
      )}
    </Field>
  );
  return (
    <Sheet label={words.label}>
      <div className={styles.facts}>
        <Facts
          of={[
            [words.signedInAs, safe(data.user)],
            [words.role, <RoleChip key="role" role={data.role} />],
            [words.until, data.expires && <When key="until" at={rfc3339(data.expires)} />],
          ]}
        />
      </div>
      <form
        className={styles.form}
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (!wrongNext && !wrongAgain) change.mutate();
        }}
      >
        <h2>{words.password}</h2>
        <Fields>
          <input type="text" className="hidden" autoComplete="username" value={data.user} readOnly tabIndex={-1} aria-hidden />
          {field(words.current, current, setCurrent, "current-password", undefined)}
          {field(words.next, next, setNext, "new-password", wrongNext, words.nextHelp)}
          {field(words.again, again, setAgain, "new-password", wrongAgain, words.passwordHelp)}
          <Refused error={change.error} />
        </Fields>
        <DialogActions>
          <button type="submit" className="btn primary" disabled={change.isPending || current === ""}>
            {words.change}
          </button>
        </DialogActions>
      </form>
    </Sheet>
  );
}
