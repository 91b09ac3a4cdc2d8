import { Activity, BrainCircuit, FileClock, type LucideIcon, Radar, Server, Settings, ShieldHalf } from "lucide-react";
import { Link } from "wouter";
import { text } from "~/text";
import { Account } from "./account";
import { PAGES, type PageName } from "./links";
import { useStatus } from "./lost";
import { Mark } from "./mark";
import styles from "./rail.module.css";

const ICONS: Record<PageName, LucideIcon> = {
  radar: Radar,
  defend: ShieldHalf,
  monitor: Activity,
  models: BrainCircuit,
  hosts: Server,
  settings: Settings,
  audit: FileClock,
};

/** The pages, with what waits to be seen. */
export function Rail(props: { current: PageName | undefined }) {
  const { data } = useStatus();
  const open = Number(data?.openEvents ?? 0n);
  return (
    <nav className={styles.rail} aria-label={text.shell.navigation}>
      <div className={styles.mark} title={data ? `cnnf ${data.version}` : "cnnf"}>
        <Mark />
      </div>
      <ul className={styles.list}>
        {PAGES.map((name) => {
          const Icon = ICONS[name];
          return (
            <li key={name} className={styles[name]}>
              <Link href={`/${name}`} className={styles.link} aria-current={props.current === name ? "page" : undefined}>
                <span className={styles.icon}>
                  <Icon size={19} strokeWidth={1.75} aria-hidden />
                  {name === "monitor" && open > 0 && (
                    <span className={styles.badge}>
                      <span aria-hidden>{open > 99 ? "99+" : open}</span>
                    </span>
                  )}
                </span>
                {text.shell.pages[name]}
                {name === "monitor" && open > 0 && <span className="hidden">, {text.shell.openEvents(open)}</span>}
              </Link>
            </li>
          );
        })}
      </ul>
      <Account />
    </nav>
  );
}
