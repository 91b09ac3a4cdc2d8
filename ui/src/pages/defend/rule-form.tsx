import { Ban, Check as CheckIcon, ChevronRight, TriangleAlert } from "lucide-react";
import { useMemo, useState } from "react";
import { Dialog, DialogActions } from "~/parts/dialog";
import { Check, Choice, Field, Fields, Row } from "~/parts/form";
import { EndPicker, LabelsField } from "~/parts/pick";
import { readPorts } from "~/parts/ports";
import { defend } from "~/text/defend";
import { parts } from "~/text/parts";
import { atRule, expiry, isService, type Wrong, wrongRule } from "./check";
import { dangers } from "./dangers";
import { Dangers } from "./dangers-view";
import { useRested, useSimulation } from "./data";
import { add, type Draft, type Policy, set, start, type Wanted } from "./draft/draft";
import { Impact } from "./impact";
import styles from "./rule-form.module.css";

interface Props {
  /** The rule's key; a new one has none. */
  ruleKey: string | undefined;
  start: Wanted;
  draft: Draft | undefined;
  base: Policy;
  onClose(): void;
  onSave(want: Wanted): void;
}

/** A rule to be written, with what it would do beside it. */
export function RuleForm(props: Props) {
  const { ruleKey, draft, base } = props;
  const [want, setWant] = useState(props.start);
  const [portsText, setPortsText] = useState(props.start.ports.join(" ") === "any" ? "" : props.start.ports.join(" "));
  const [tried, setTried] = useState(false);
  const [more, setMore] = useState(() => hasMore(props.start));
  const put = (values: Partial<Wanted>) => setWant((before) => ({ ...before, ...values }));

  const { rules, objects } = draft ?? base;
  const wrong = wrongRule(want, portsText, ruleKey, rules, objects);
  const shown: Wrong = tried ? wrong : { ...(wrong.ports && portsText !== "" ? { ports: wrong.ports } : {}) };
  const ports = useMemo(() => readPorts(portsText).ports ?? ["any"], [portsText]);
  const whole = useMemo(() => ({ ...want, name: want.name.trim(), from: want.from.trim(), to: want.to.trim(), ports }), [want, ports]);
  const right = Object.keys(wrong).length === 0 || (Object.keys(wrong).length === 1 && wrong.name !== undefined);
  const preview = useMemo(() => {
    if (!right) return undefined;
    const on = draft ?? start(base);
    const named = { ...whole, name: whole.name || "?", expires: "" };
    return ruleKey === undefined ? add(on, named) : set(on, ruleKey, named);
  }, [right, draft, base, whole, ruleKey]);

  const rested = useRested(preview, 600);
  const simulation = useSimulation(rested, 0);
  const refused = atRule(simulation.error, rested, ruleKey);
  const at = { ...refused.at, ...shown };

  const submit = () => {
    setTried(true);
    if (Object.keys(wrong).length > 0) return;
    props.onSave({ ...whole, expires: expiry(want.expires, Date.now()) ?? "" });
  };

  return (
    <Dialog wide open onClose={props.onClose} title={ruleKey === undefined ? defend.form.add : defend.form.edit} help={defend.form.help}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <Fields>
          <Field name={defend.fields.name} wrong={at.name}>
            {(wiring) => (
              <input
                className="input"
                autoComplete="off"
                placeholder={defend.form.placeholderName}
                value={want.name}
                onChange={(event) => put({ name: event.target.value })}
                {...wiring}
              />
            )}
          </Field>
          <Row>
            {(["from", "to"] as const).map((end) => (
              <div key={end} className={styles.end}>
                <Field name={defend.fields[end]} help={end === "from" ? defend.fields.fromHelp : defend.fields.toHelp} wrong={at[end]}>
                  {(wiring) => (
                    <EndPicker
                      value={want[end]}
                      onChange={(value) => put({ [end]: value })}
                      wiring={wiring}
                      objects={objects}
                      placeholder={defend.form.placeholderEnd}
                    />
                  )}
                </Field>
                {isService(want[end], objects) && (
                  <LabelsField
                    name={defend.fields.labels}
                    value={end === "from" ? want.fromLabels : want.toLabels}
                    onChange={(labels) => put(end === "from" ? { fromLabels: labels } : { toLabels: labels })}
                    wrong={end === "from" ? at.fromLabels : at.toLabels}
                  />
                )}
              </div>
            ))}
          </Row>
          <Row>
            <Field
              name={defend.fields.ports}
              wrong={at.ports}
              help={ports.join() === "any" ? parts.pick.portsHelp : <code>{ports.join(" ")}</code>}
            >
              {(wiring) => (
                <input
                  className="input mono"
                  autoComplete="off"
                  spellCheck={false}
                  placeholder={parts.any}
                  value={portsText}
                  onChange={(event) => setPortsText(event.target.value)}
                  {...wiring}
                />
              )}
            </Field>
            <div className={styles.effect}>
              <Choice
                name={defend.fields.effect}
                value={want.effect}
                onChange={(effect) => put({ effect })}
                of={[
                  { value: "allow", name: parts.effects.allow, icon: <CheckIcon size={14} aria-hidden /> },
                  { value: "alert", name: parts.effects.alert, icon: <TriangleAlert size={14} aria-hidden /> },
                  { value: "prevent", name: parts.effects.prevent, icon: <Ban size={14} aria-hidden /> },
                ]}
              />
              <p className={styles.help}>{defend.fields.effectHelp[want.effect as "allow"]}</p>
            </div>
          </Row>
          <Dangers of={dangers(whole)} />
          <details className={styles.more} open={more} onToggle={(event) => setMore(event.currentTarget.open)}>
            <summary>
              <ChevronRight size={14} aria-hidden />
              {defend.fields.details}
            </summary>
            <Fields>
              {want.effect !== "allow" && (
                <Check
                  checked={want.learned === "allow"}
                  onChange={(learned) => put({ learned: learned ? "allow" : "" })}
                  label={defend.fields.learned}
                />
              )}
              {want.effect === "prevent" && (
                <Check
                  checked={want.onFailure === "closed"}
                  onChange={(closed) => put({ onFailure: closed ? "closed" : "open" })}
                  label={
                    <>
                      {defend.fields.closed} <span className={styles.help}>{defend.fields.closedHelp}</span>
                    </>
                  }
                />
              )}
              <Row>
                <Field name={defend.fields.expires} optional={defend.fields.optional} help={defend.fields.expiresHelp} wrong={at.expires}>
                  {(wiring) => (
                    <input
                      className="input"
                      autoComplete="off"
                      placeholder="7d"
                      value={want.expires}
                      onChange={(event) => put({ expires: event.target.value })}
                      {...wiring}
                    />
                  )}
                </Field>
                <Field name={defend.fields.owner} optional={defend.fields.optional} wrong={at.owner}>
                  {(wiring) => (
                    <input className="input" value={want.owner} onChange={(event) => put({ owner: event.target.value })} {...wiring} />
                  )}
                </Field>
                <Field name={defend.fields.ticket} optional={defend.fields.optional} wrong={at.ticket}>
                  {(wiring) => (
                    <input className="input" value={want.ticket} onChange={(event) => put({ ticket: event.target.value })} {...wiring} />
                  )}
                </Field>
              </Row>
              <Field name={defend.fields.notes} optional={defend.fields.optional} wrong={at.notes}>
                {(wiring) => (
                  <textarea
                    className="input"
                    rows={2}
                    value={want.notes}
                    onChange={(event) => put({ notes: event.target.value })}
                    {...wiring}
                  />
                )}
              </Field>
              <Check checked={want.enabled} onChange={(enabled) => put({ enabled })} label={defend.fields.enabled} />
            </Fields>
          </details>
          {preview && <Impact data={simulation.data} isFetching={simulation.isFetching} error={refused.rest} />}
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button type="submit" className="btn primary">
            {defend.form.save}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

function hasMore(want: Wanted): boolean {
  return (
    want.learned !== "" ||
    want.onFailure === "closed" ||
    want.expires !== "" ||
    want.owner !== "" ||
    want.ticket !== "" ||
    want.notes !== "" ||
    !want.enabled
  );
}
