import { Dialog } from "@base-ui/react/dialog";
import { Menu } from "@base-ui/react/menu";
import { useQueryClient } from "@tanstack/react-query";
import { Check, CircleHelp, CircleUserRound, KeyRound, LogOut } from "lucide-react";
import { useState } from "react";
import { session } from "~/api/clients";
import { keys } from "~/api/keys";
import { PasswordForm } from "~/parts/password-form";
import { text } from "~/text";
import { safe } from "~/text/safe";
import styles from "./account.module.css";
import { openHelp } from "./help";
import { useSession } from "./session";
import { type Choice, chooseTheme, useChoice } from "./theme";

/** Who is signed in, and how the page looks. */
export function Account() {
  const choice = useChoice();
  const { user, role, issuer } = useSession();
  const cache = useQueryClient();
  const [changing, setChanging] = useState(false);
  const signOut = async () => {
    await session.signOut({});
    cache.clear();
    // The frame asks who is there, and finds nobody.
    location.reload();
  };
  return (
    <>
      <Menu.Root>
        <Menu.Trigger className={styles.trigger} aria-label={text.shell.account}>
          <CircleUserRound size={19} strokeWidth={1.75} aria-hidden />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Positioner side="right" align="end" sideOffset={8}>
            <Menu.Popup className={styles.popup}>
              <div className={styles.who}>
                <div className={`name ${styles.user}`}>{safe(user)}</div>
                <div>{text.shell.roles[role] ?? role}</div>
              </div>
              <Menu.Separator className={styles.line} />
              <Menu.Group>
                <Menu.GroupLabel className={styles.label}>{text.shell.theme}</Menu.GroupLabel>
                <Menu.RadioGroup value={choice} onValueChange={(next: Choice) => chooseTheme(next)}>
                  {(["system", "dark", "light"] as const).map((value) => (
                    <Menu.RadioItem key={value} value={value} className={styles.item} closeOnClick={false}>
                      <span className={styles.check}>
                        <Menu.RadioItemIndicator>
                          <Check size={14} aria-hidden />
                        </Menu.RadioItemIndicator>
                      </span>
                      {text.shell.themes[value]}
                    </Menu.RadioItem>
                  ))}
                </Menu.RadioGroup>
              </Menu.Group>
              <Menu.Separator className={styles.line} />
              <Menu.Item className={styles.item} onClick={openHelp}>
                <CircleHelp size={14} aria-hidden />
                {text.keys.title}
              </Menu.Item>
              {/* Whom a provider signs in has no password here. */}
              {issuer === "" && (
                <Menu.Item className={styles.item} onClick={() => setChanging(true)}>
                  <KeyRound size={14} aria-hidden />
                  {text.signIn.change}
                </Menu.Item>
              )}
              <Menu.Item className={styles.item} onClick={() => void signOut()}>
                <LogOut size={14} aria-hidden />
                {text.shell.signOut}
              </Menu.Item>
            </Menu.Popup>
          </Menu.Positioner>
        </Menu.Portal>
      </Menu.Root>
      <Dialog.Root open={changing} onOpenChange={setChanging}>
        <Dialog.Portal>
          <Dialog.Backdrop className={styles.backdrop} />
          <Dialog.Popup className={styles.dialog}>
            <Dialog.Title>{text.signIn.change}</Dialog.Title>
            <PasswordForm
              user={user}
              onSession={(next) => {
                cache.setQueryData(keys.session(), next);
                setChanging(false);
              }}
            />
          </Dialog.Popup>
        </Dialog.Portal>
      </Dialog.Root>
    </>
  );
}
