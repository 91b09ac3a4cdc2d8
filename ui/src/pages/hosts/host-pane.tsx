import { TriangleAlert } from "lucide-react";
import { useMemo } from "react";
import { Link } from "wouter";
import type { Defender } from "~/gen/cnnf/v1/admin_pb";
import { LabelChips } from "~/parts/chips";
import { Command, Copy } from "~/parts/copy";
import { Choice } from "~/parts/form";
import { Menu, type MenuItem } from "~/parts/menu";
import { LongText } from "~/parts/name";
import { Facts, Pane, Section } from "~/parts/pane";
import { useServices } from "~/parts/pick";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { number } from "~/text/format";
import { hosts } from "~/text/hosts";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import styles from "./hosts.module.css";
import { PolicyChip, StatusChip } from "./index";
import { eventsOf } from "./status";

/** All that is known of a host. */
export function HostPane(props: {
  defender: Defender;
  /** What gives it the controller's own version; empty if the controller has no packages. */
  upgrade: string;
  items: readonly (MenuItem | false)[];
  onMode: ((mode: "observe" | "enforce") => void) | undefined;
  onClose(): void;
}) {
  const { defender } = props;
  const services = useServices().data;
  const own = useMemo(
    () => (services ?? []).filter(({ instances }) => instances.some(({ hostId }) => hostId === defender.id)),
    [services, defender.id],
  );
  const counters = Object.entries(defender.counters).sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <Pane
      label={hosts.pane.label(safe(defender.host, 80))}
      title={<LongText of={defender.host} mono={false} />}
      kicker={<StatusChip defender={defender} />}
      onClose={props.onClose}
      actions={
        <>
          <Link className="btn" href={eventsOf(defender)}>
            {hosts.actions.events}
          </Link>
          {props.items.length > 0 && <Menu label={parts.actionsFor(safe(defender.host, 80))} items={props.items} />}
        </>
      }
    >
      <Section title={hosts.pane.mode}>
        {props.onMode && !defender.revoked ? (
          <Choice
            quiet
            name={hosts.pane.mode}
            value={defender.mode}
            onChange={(mode) => props.onMode?.(mode as "observe")}
            of={[
              { value: "observe", name: parts.modes.observe },
              { value: "enforce", name: parts.modes.enforce },
            ]}
          />
        ) : (
          <p>{defender.mode === "enforce" ? parts.modes.enforce : parts.modes.observe}</p>
        )}
        <p className={styles.faint}>{hosts.pane.modeHelp[defender.mode]}</p>
      </Section>
      <Section title={hosts.pane.policy}>
        <Facts
          of={[
            [hosts.pane.outcome, <PolicyChip key="policy" defender={defender} />],
            [hosts.pane.desired, defender.desiredGeneration.toString()],
            [hosts.pane.applied, defender.appliedGeneration.toString()],
            [hosts.pane.message, defender.message && <LongText of={defender.message} mono={false} />],
            [hosts.pane.queue, safe(defender.queue)],
          ]}
        />
      </Section>
      {defender.outdated && (
        <Section title={hosts.pane.upgrade}>
          <p className={styles.faint}>{hosts.pane.upgradeHelp(safe(defender.version, 40), props.upgrade !== "")}</p>
          {props.upgrade !== "" && <Command text={props.upgrade} label={hosts.pane.upgrade} />}
        </Section>
      )}
      <Section title={hosts.pane.notCovered}>
        {defender.notCovered.length === 0 ? (
          <p className={styles.faint}>{hosts.pane.allCovered}</p>
        ) : (
          <ul className={styles.uncovered}>
            {defender.notCovered.map((line) => (
              <li key={line}>
                <TriangleAlert size={14} aria-hidden />
                <span>{safe(line, 600)}</span>
              </li>
            ))}
          </ul>
        )}
      </Section>
      {own.length > 0 && (
        <Section title={hosts.pane.services} aside={<span className={styles.faint}>{number(own.length)}</span>}>
          <ul className={styles.services}>
            {own.slice(0, 100).map(({ key }) => (
              <li key={key}>
                <Link href={links.radar({ node: key })} title={safe(key)}>
                  {safe(shortName(key), 60)}
                </Link>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title={hosts.pane.about}>
        <Facts
          of={[
            [hosts.pane.lastSeen, <Ago key="seen" at={defender.lastSeen} />],
            [
              hosts.pane.addresses,
              defender.addresses.length > 0 && (
                <ul>
                  {defender.addresses.map((address) => (
                    <li key={address}>
                      <code>{safe(address)}</code>
                    </li>
                  ))}
                </ul>
              ),
            ],
            [
              hosts.pane.labels,
              Object.keys(defender.labels).length > 0 && (
                <span className={styles.labels}>
                  <LabelChips labels={defender.labels} />
                </span>
              ),
            ],
            [hosts.pane.version, defender.outdated ? `${safe(defender.version)} ${hosts.outdated}` : safe(defender.version)],
            [
              hosts.pane.id,
              <span key="id" className={styles.id}>
                <code>{safe(defender.id)}</code>
                <Copy text={defender.id} />
              </span>,
            ],
          ]}
        />
      </Section>
      {counters.length > 0 && (
        <Section title={hosts.pane.counters}>
          <dl className={styles.counters}>
            {counters.map(([name, value]) => (
              <div key={name}>
                <dt>{safe(name)}</dt>
                <dd className="num">{number(value)}</dd>
              </div>
            ))}
          </dl>
        </Section>
      )}
    </Pane>
  );
}
