import { RoleChip } from "~/parts/chips";
import { Sheet } from "~/parts/page";
import { Facts } from "~/parts/pane";
import { PasswordForm } from "~/parts/password-form";
import { rfc3339 } from "~/parts/stamp";
import { done } from "~/parts/toasts";
import { When } from "~/parts/when";
import { useSession } from "~/shell/session";
import { text } from "~/text";
import { safe } from "~/text/safe";
import { settings } from "~/text/settings";
import styles from "./settings.module.css";

const words = settings.account;

/** Who the reader is, and their password. */
export function AccountPart() {
  const data = useSession();
  const { issuer } = data;
  return (
    <Sheet label={words.label}>
      <div className={styles.facts}>
        <Facts
          of={[
            [words.signedInAs, safe(data.user)],
            [words.role, <RoleChip key="role" role={data.role} />],
            [words.provider, issuer && safe(issuer, 200)],
            [
              words.until,
              data.expires && (
                <>
                  <When at={rfc3339(data.expires)} />, {words.untilHelp}
                </>
              ),
            ],
          ]}
        />
      </div>
      {issuer ? (
        <p className={styles.help}>{words.providerHelp}</p>
      ) : (
        <div className={styles.form}>
          <h2>{words.password}</h2>
          <PasswordForm user={data.user} onSession={() => done(text.signIn.changed)} />
        </div>
      )}
    </Sheet>
  );
}
