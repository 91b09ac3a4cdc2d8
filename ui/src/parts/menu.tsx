import { Menu as Base } from "@base-ui/react/menu";
import { EllipsisVertical, type LucideIcon } from "lucide-react";
import type { ReactElement } from "react";
import styles from "./menu.module.css";

/** An entry, or a line between entries. */
export type MenuItem = { name: string; icon?: LucideIcon; danger?: boolean; disabled?: boolean; act(): void } | "line";

/** What can be done with something, behind a button. */
export function Menu(props: { label: string; items: readonly (MenuItem | false | undefined)[]; trigger?: ReactElement }) {
  const items = props.items.filter((item) => item !== false && item !== undefined);
  return (
    <Base.Root>
      {props.trigger ? (
        <Base.Trigger render={props.trigger} />
      ) : (
        <Base.Trigger className="btn quiet icon" aria-label={props.label}>
          <EllipsisVertical size={15} aria-hidden />
        </Base.Trigger>
      )}
      <Base.Portal>
        <Base.Positioner align="end" sideOffset={4} className={styles.positioner}>
          <Base.Popup className={styles.popup}>
            {items.map((item, n) =>
              item === "line" ? (
                // biome-ignore lint/suspicious/noArrayIndexKey: lines have no other name
                <Base.Separator key={n} className={styles.line} />
              ) : (
                <Base.Item
                  key={item.name}
                  className={`${styles.item} ${item.danger ? styles.danger : ""}`}
                  disabled={item.disabled ?? false}
                  onClick={() => item.act()}
                >
                  {item.icon && <item.icon size={14} aria-hidden />}
                  {item.name}
                </Base.Item>
              ),
            )}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
