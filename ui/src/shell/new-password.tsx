import { useState } from "react";
import { useForm } from "react-hook-form";
import { session as client } from "~/api/clients";
import { inWords } from "~/api/errors";
import type { Session } from "~/gen/cnnf/v1/access_pb";
import { text } from "~/text";
import { Mark } from "./mark";
import styles from "./sign-in.module.css";

interface Fields {
  current: string;
  next: string;
  again: string;
}

const LEAST = 12;

/** Asks for another password: the first one opens nothing else. */
export function NewPassword(props: { session: Session; onSession: (session: Session) => void }) {
  return (
    <main className={styles.page}>
      <div className={styles.card}>
        <div className={styles.brand}>
          <Mark size={40} />
          <div>
            <h1>{text.signIn.choose}</h1>
            <p>{text.signIn.chooseHelp(props.session.user)}</p>
          </div>
        </div>
        <PasswordForm user={props.session.user} onSession={props.onSession} />
      </div>
    </main>
  );
}

/** The fields of a new password. */
export function PasswordForm(props: { user: string; onSession: (session: Session) => void }) {
  const [refused, setRefused] = useState<string>();
  const { register, handleSubmit, formState, getValues } = useForm<Fields>({ defaultValues: { current: "", next: "", again: "" } });
  const submit = handleSubmit(async ({ current, next }) => {
    setRefused(undefined);
    try {
      props.onSession(await client.changePassword({ current, new: next }));
    } catch (error) {
      setRefused(inWords(error));
    }
  });
  const { errors } = formState;
  const wrong = refused ?? errors.current?.message ?? errors.next?.message ?? errors.again?.message ?? "";
  return (
    <form className={styles.fields} onSubmit={submit} noValidate>
      <input className="hidden" type="text" autoComplete="username" value={props.user} readOnly tabIndex={-1} aria-hidden />
      <label className={styles.field}>
        {text.signIn.current}
        <input
          className="input"
          type="password"
          autoComplete="current-password"
          aria-invalid={errors.current !== undefined}
          {...register("current", { required: text.signIn.missing })}
        />
      </label>
      <label className={styles.field}>
        {text.signIn.next(LEAST)}
        <input
          className="input"
          type="password"
          autoComplete="new-password"
          aria-invalid={errors.next !== undefined}
          {...register("next", {
            required: text.signIn.missing,
            validate: (value) => new TextEncoder().encode(value).length >= LEAST || text.signIn.short(LEAST),
          })}
        />
      </label>
      <label className={styles.field}>
        {text.signIn.again}
        <input
          className="input"
          type="password"
          autoComplete="new-password"
          aria-invalid={errors.again !== undefined}
          {...register("again", { validate: (value) => value === getValues("next") || text.signIn.differ })}
        />
      </label>
      <p className={styles.refused} role="alert">
        {wrong}
      </p>
      <button type="submit" className={`btn primary ${styles.wide}`} disabled={formState.isSubmitting}>
        {text.signIn.change}
      </button>
    </form>
  );
}
