import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { session as client } from "~/api/clients";
import { atFields } from "~/api/violations";
import type { Session } from "~/gen/cnnf/v1/access_pb";
import { text } from "~/text";
import { DialogActions } from "./dialog";
import { Field, Fields, Refused } from "./form";
import { isLong, LEAST } from "./password";

const words = text.signIn;

/** Asks for another password of who is signed in. */
export function PasswordForm(props: { user: string; onSession(session: Session): void }) {
  const [values, setValues] = useState({ current: "", next: "", again: "" });
  const [tried, setTried] = useState(false);
  const change = useMutation({
    mutationFn: () => client.changePassword({ current: values.current, new: values.next }),
    onSuccess: (session) => {
      setValues({ current: "", next: "", again: "" });
      setTried(false);
      props.onSession(session);
    },
  });
  const refused = atFields(change.error, "current", "new");
  const wrong = {
    current: values.current === "" ? words.missing : refused.at.current,
    next: values.next === "" ? words.missing : isLong(values.next) ? refused.at.new : words.short(LEAST),
    again: values.again === values.next ? undefined : words.differ,
  };
  const field = (key: keyof typeof values, name: string, complete: string, help?: string) => (
    <Field name={name} help={help} wrong={tried ? wrong[key] : undefined}>
      {(wiring) => (
        <input
          type="password"
          className="input"
          autoComplete={complete}
          value={values[key]}
          onChange={(event) => setValues({ ...values, [key]: event.target.value })}
          {...wiring}
        />
      )}
    </Field>
  );
  return (
    <form
      noValidate
      // What was refused is no longer what is written.
      onInput={() => change.reset()}
      onSubmit={(event) => {
        event.preventDefault();
        setTried(true);
        if (values.current !== "" && isLong(values.next) && !wrong.again) change.mutate();
      }}
    >
      <Fields>
        <input type="text" className="hidden" autoComplete="username" value={props.user} readOnly tabIndex={-1} aria-hidden />
        {field("current", words.current, "current-password")}
        {field("next", words.next, "new-password", words.nextHelp(LEAST))}
        {field("again", words.again, "new-password", words.othersEnd)}
        <Refused error={refused.rest} />
      </Fields>
      <DialogActions>
        <button type="submit" className="btn primary" disabled={change.isPending}>
          {words.change}
        </button>
      </DialogActions>
    </form>
  );
}
