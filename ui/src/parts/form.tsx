import { type ReactNode, useId } from "react";
import { inWords } from "~/api/errors";
import { safe } from "~/text/safe";
import styles from "./form.module.css";

/** What a control needs to be named, explained and found wrong. */
export interface Wiring {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

/** A field: its name above, help or what is wrong below. */
export function Field(props: {
  name: string;
  help?: ReactNode;
  wrong?: string | undefined;
  optional?: string;
  children: (wiring: Wiring) => ReactNode;
}) {
  const id = useId();
  const says = props.wrong ?? props.help;
  const wiring = { id, "aria-describedby": says ? `${id}-says` : undefined, "aria-invalid": props.wrong ? (true as const) : undefined };
  return (
    <div className={styles.field}>
      <label htmlFor={id} className={styles.name}>
        {props.name}
        {props.optional && <span className={styles.optional}>{props.optional}</span>}
      </label>
      {props.children(wiring)}
      {says && (
        <div id={`${id}-says`} className={props.wrong ? styles.wrong : styles.help} role={props.wrong ? "alert" : undefined}>
          {props.wrong ? safe(props.wrong, 600) : says}
        </div>
      )}
    </div>
  );
}

/** Fields beside each other where there is room. */
export function Row(props: { children: ReactNode }) {
  return <div className={styles.row}>{props.children}</div>;
}

/** Fields below each other. */
export function Fields(props: { children: ReactNode }) {
  return <div className={styles.fields}>{props.children}</div>;
}

/** One of a few words, all of them in sight. */
export function Choice<W extends string>(props: {
  name: string;
  /** The name is for screen readers only. */
  quiet?: boolean;
  value: W;
  of: readonly { value: W; name: string; icon?: ReactNode }[];
  onChange(value: W): void;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <fieldset className={styles.choice} disabled={props.disabled}>
      <legend className={props.quiet ? "hidden" : styles.name}>{props.name}</legend>
      <div className={styles.segments}>
        {props.of.map(({ value, name, icon }) => (
          <label key={value} className={styles.segment} data-word={value}>
            <input type="radio" className="hidden" name={id} checked={value === props.value} onChange={() => props.onChange(value)} />
            {icon}
            {name}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** On or off. */
export function Switch(props: { checked: boolean; label: string; onChange(checked: boolean): void; disabled?: boolean; quiet?: boolean }) {
  return (
    <label className={styles.switch}>
      <input
        type="checkbox"
        role="switch"
        aria-checked={props.checked}
        checked={props.checked}
        disabled={props.disabled}
        onChange={(event) => props.onChange(event.target.checked)}
      />
      <span className={styles.knob} aria-hidden />
      <span className={props.quiet ? "hidden" : undefined}>{props.label}</span>
    </label>
  );
}

/** Yes or no. */
export function Check(props: { checked: boolean; label: ReactNode; onChange(checked: boolean): void; disabled?: boolean }) {
  return (
    <label className={styles.check}>
      <input type="checkbox" checked={props.checked} disabled={props.disabled} onChange={(event) => props.onChange(event.target.checked)} />
      <span>{props.label}</span>
    </label>
  );
}

/** Why what was asked for was refused, if it was. */
export function Refused(props: { error: unknown }) {
  return props.error ? <p role="alert">{safe(inWords(props.error), 1_000)}</p> : null;
}
