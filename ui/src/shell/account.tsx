import { Menu } from "@base-ui/react/menu";
import { Check, CircleUserRound } from "lucide-react";
import { text } from "~/text";
import styles from "./account.module.css";
import { type Choice, chooseTheme, useChoice } from "./theme";

/** Who is signed in, and how the page looks. */
export function Account() {
  const choice = useChoice();
  return (
    <Menu.Root>
      <Menu.Trigger className={styles.trigger} aria-label={text.shell.account}>
        <CircleUserRound size={19} strokeWidth={1.75} aria-hidden />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner side="right" align="end" sideOffset={8}>
          <Menu.Popup className={styles.popup}>
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
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
