import { Ban, BrainCircuit, Check, CircleAlert, CircleSlash, Eye, Info, type LucideIcon, Shield, TriangleAlert } from "lucide-react";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import styles from "./chips.module.css";

type Tone = "plain" | "good" | "warn" | "bad" | "calm" | "would" | "faint";

/** A word of a closed vocabulary: its colour is never the only sign. */
export function Chip(props: { tone: Tone; icon?: LucideIcon; children: string; title?: string }) {
  const Icon = props.icon;
  return (
    <span className={`${styles.chip} ${styles[props.tone]}`} title={props.title}>
      {Icon && <Icon size={12} strokeWidth={2.25} aria-hidden />}
      {props.children}
    </span>
  );
}

/** What a rule or a judgement does. */
export function EffectChip(props: { effect: string }) {
  const { effect } = props;
  if (effect === "prevent")
    return (
      <Chip tone="bad" icon={Ban}>
        {parts.effects.prevent}
      </Chip>
    );
  if (effect === "alert")
    return (
      <Chip tone="warn" icon={TriangleAlert}>
        {parts.effects.alert}
      </Chip>
    );
  if (effect === "allow")
    return (
      <Chip tone="good" icon={Check}>
        {parts.effects.allow}
      </Chip>
    );
  return <Chip tone="plain">{safe(effect)}</Chip>;
}

/** The mode of a host or service. */
export function ModeChip(props: { mode: string }) {
  if (props.mode === "enforce")
    return (
      <Chip tone="good" icon={Shield}>
        {parts.modes.enforce}
      </Chip>
    );
  if (props.mode === "observe")
    return (
      <Chip tone="plain" icon={Eye}>
        {parts.modes.observe}
      </Chip>
    );
  return null;
}

/** The phase of a model. */
export function PhaseChip(props: { phase: string }) {
  const { phase } = props;
  if (phase === "active")
    return (
      <Chip tone="good" icon={Check}>
        {parts.phases.active}
      </Chip>
    );
  if (phase === "learning")
    return (
      <Chip tone="calm" icon={BrainCircuit}>
        {parts.phases.learning}
      </Chip>
    );
  if (phase === "dry_run")
    return (
      <Chip tone="would" icon={Eye}>
        {parts.phases.dry_run}
      </Chip>
    );
  if (phase === "archived")
    return (
      <Chip tone="faint" icon={CircleSlash}>
        {parts.phases.archived}
      </Chip>
    );
  return null;
}

/** How a kind of event looks: what would have been prevented is a colour of its own. */
function kindLook(kind: string): [Tone, LucideIcon] {
  if (kind.startsWith("would_")) return ["would", Eye];
  if (kind.endsWith("_prevent")) return ["bad", Ban];
  if (kind.endsWith("_alert")) return ["warn", TriangleAlert];
  if (kind === "tamper" || kind === "cloned") return ["bad", CircleAlert];
  if (kind === "new_service" || kind === "rule_expiring") return ["calm", Info];
  return ["warn", CircleAlert];
}

/** The kind of an event. */
export function KindChip(props: { kind: string }) {
  const [tone, icon] = kindLook(props.kind);
  return (
    <Chip tone={tone} icon={icon} title={safe(props.kind)}>
      {(parts.kinds as Record<string, string>)[props.kind] ?? safe(props.kind)}
    </Chip>
  );
}

/** The role of a person or a token. */
export function RoleChip(props: { role: string }) {
  return (
    <Chip tone={props.role === "admin" ? "calm" : "plain"}>{(parts.roles as Record<string, string>)[props.role] ?? safe(props.role)}</Chip>
  );
}

/** Labels of a host. */
export function LabelChips(props: { labels: Record<string, string> }) {
  return Object.entries(props.labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => (
      <span key={key} className={styles.label} title={`${safe(key)}=${safe(value)}`}>
        <bdi>
          {safe(key, 40)}={safe(value, 40)}
        </bdi>
      </span>
    ));
}
