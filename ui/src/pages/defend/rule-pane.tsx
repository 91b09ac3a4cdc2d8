import { Pencil } from "lucide-react";
import { Link } from "wouter";
import { EffectChip, LabelChips } from "~/parts/chips";
import { Menu, type MenuItem } from "~/parts/menu";
import { LongText, Name } from "~/parts/name";
import { Facts, Pane, Section } from "~/parts/pane";
import { Ago } from "~/parts/when";
import { links } from "~/shell/links";
import { defend } from "~/text/defend";
import { number } from "~/text/format";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import type { RuleRow } from "./rows";
import styles from "./rule-pane.module.css";
import { Verdict } from "./verdict";

/** All that is known of a rule. */
export function RulePane(props: { row: RuleRow; items: readonly (MenuItem | false)[]; onEdit: (() => void) | undefined; onClose(): void }) {
  const { row } = props;
  const { want, rule, findings } = row;
  const end = (text: string, labels: Record<string, string>) => (
    <span className={styles.end}>
      <LongText of={text} mono={false} />
      <LabelChips labels={labels} />
    </span>
  );
  return (
    <Pane
      label={defend.pane.label(safe(want.name, 80))}
      title={<LongText of={want.name} mono={false} />}
      kicker={
        <>
          <EffectChip effect={want.effect} />
          {!want.enabled && <span>{defend.off}</span>}
          {row.expired && <span>{defend.expired}</span>}
          {row.mark !== "same" && <span>{defend.marks[row.mark]}</span>}
        </>
      }
      onClose={props.onClose}
      actions={
        <>
          {props.onEdit && (
            <button type="button" className="btn" onClick={props.onEdit}>
              <Pencil size={14} aria-hidden />
              {defend.actions.edit}
            </button>
          )}
          {rule && (
            <Link className="btn" href={links.events({ rule: want.name })}>
              {defend.actions.events}
            </Link>
          )}
          {props.items.length > 0 && <Menu label={parts.actionsFor(safe(want.name, 80))} items={props.items} />}
        </>
      }
    >
      {findings.length > 0 && (
        <Section title={defend.draft.findings}>
          <ul className={styles.findings}>
            {findings.map((finding) => (
              <li key={`${finding.fault} ${finding.other}`}>
                <Verdict of={finding} />
                {finding.other && (
                  <>
                    {" "}
                    <Link href={links.rule(finding.other)}>
                      <Name of={finding.other} />
                    </Link>
                  </>
                )}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title={defend.pane.conditions}>
        <Facts
          of={[
            [defend.pane.from, end(want.from, want.fromLabels)],
            [defend.pane.to, end(want.to, want.toLabels)],
            [defend.pane.ports, <LongText key="ports" of={want.ports.join(" ")} />],
          ]}
        />
      </Section>
      <Section title={defend.pane.decides}>
        <Facts
          of={[
            [defend.fields.effect, defend.fields.effectHelp[want.effect as "allow"] ?? safe(want.effect)],
            [defend.pane.learned, want.learned === "allow" && defend.pane.passes],
            [defend.pane.failure, want.onFailure === "closed" ? defend.pane.closed : defend.pane.open],
            [defend.columns.expires, safe(want.expires)],
          ]}
        />
      </Section>
      {rule && (
        <Section title={defend.pane.hits}>
          <Facts
            of={[
              [defend.columns.hits, number(rule.hits)],
              [defend.columns.lastUsed, rule.lastUsed ? <Ago key="used" at={rule.lastUsed} /> : defend.never],
            ]}
          />
        </Section>
      )}
      {(want.owner || want.ticket || want.notes || rule) && (
        <Section title={defend.pane.care}>
          <Facts
            of={[
              [defend.fields.owner, want.owner && <LongText of={want.owner} mono={false} />],
              [defend.fields.ticket, want.ticket && <LongText of={want.ticket} mono={false} />],
              [defend.fields.notes, want.notes && <LongText of={want.notes} mono={false} />],
              [
                defend.pane.changedIn,
                rule && (
                  <Link key="revision" href={`/defend/history?revision=${rule.revision}`}>
                    {defend.revision(rule.revision.toString())}
                  </Link>
                ),
              ],
              [defend.pane.number, rule?.id.toString()],
            ]}
          />
        </Section>
      )}
    </Pane>
  );
}
