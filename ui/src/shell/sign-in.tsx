import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { KeyRound } from "lucide-react";
import { useState } from "react";
import { useForm } from "react-hook-form";
import { session as client } from "~/api/clients";
import { inWords } from "~/api/errors";
import type { Session } from "~/gen/cnnf/v1/access_pb";
import { text } from "~/text";
import { Mark } from "./mark";
import styles from "./sign-in.module.css";

interface Fields {
  user: string;
  password: string;
}

/** Asks who somebody is. */
export function SignIn(props: { expired: boolean; onSession: (session: Session) => void }) {
  const options = useQuery({
    queryKey: ["sign-in"],
    queryFn: ({ signal }) => client.getSignInOptions({}, { signal }),
    staleTime: Infinity,
  });
  const [refused, setRefused] = useState<string>();
  const { register, handleSubmit, formState, resetField, setFocus } = useForm<Fields>({ defaultValues: { user: "", password: "" } });

  const submit = handleSubmit(async ({ user, password }) => {
    setRefused(undefined);
    try {
      props.onSession(await client.signIn({ user, password }));
    } catch (error) {
      const { code } = ConnectError.from(error);
      setRefused(
        code === Code.Unauthenticated ? text.signIn.wrong : code === Code.ResourceExhausted ? text.signIn.tooMany : inWords(error),
      );
      resetField("password");
      setFocus("password");
    }
  });

  return (
    <main className={styles.page}>
      <form className={styles.card} onSubmit={submit} noValidate>
        <div className={styles.brand}>
          <Mark size={40} />
          <div>
            <h1>{text.shell.product}</h1>
            <p>{text.signIn.tagline}</p>
          </div>
        </div>
        {props.expired && (
          <p className={styles.note} role="status">
            {text.signIn.expired}
          </p>
        )}
        <label className={styles.field}>
          {text.signIn.user}
          <input
            className="input"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            {...register("user", { required: true })}
          />
        </label>
        <label className={styles.field}>
          {text.signIn.password}
          <input className="input" type="password" autoComplete="current-password" {...register("password", { required: true })} />
        </label>
        <p className={styles.refused} role="alert">
          {refused ?? (formState.submitCount > 0 && !formState.isValid ? text.signIn.both : "")}
        </p>
        <button type="submit" className={`btn primary ${styles.wide}`} disabled={formState.isSubmitting}>
          {formState.isSubmitting ? text.signIn.waits : text.signIn.signIn}
        </button>
        {options.data?.oidc && (
          <a className={`btn ${styles.wide}`} href={`/auth/oidc/start?to=${encodeURIComponent(location.pathname + location.search)}`}>
            <KeyRound size={15} aria-hidden />
            {text.signIn.oidc(options.data.oidcName)}
          </a>
        )}
        <p className={styles.help}>{text.signIn.help}</p>
      </form>
    </main>
  );
}
