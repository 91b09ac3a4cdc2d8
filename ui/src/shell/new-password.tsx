import type { Session } from "~/gen/cnnf/v1/access_pb";
import { PasswordForm } from "~/parts/password-form";
import { text } from "~/text";
import { Mark } from "./mark";
import styles from "./sign-in.module.css";

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
