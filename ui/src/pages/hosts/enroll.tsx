import { useMutation } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { useRef, useState } from "react";
import { fleet } from "~/api/clients";
import { atFields } from "~/api/violations";
import type { Defender } from "~/gen/cnnf/v1/admin_pb";
import { Command } from "~/parts/copy";
import { Dialog, DialogActions } from "~/parts/dialog";
import { Field, Fields, Refused, Row } from "~/parts/form";
import { LabelsField } from "~/parts/pick";
import { count, time } from "~/text/format";
import { hosts } from "~/text/hosts";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { addressOf, enrollCommand } from "./command";
import styles from "./hosts.module.css";

const words = hosts.enrolling;

/** The port for defenders, unless somebody chose another one. */
const PORT = 7443;

/** Lets hosts in: a token in a command to copy, and then who came. */
export function EnrollDialog(props: { known: readonly Defender[]; onClose(): void; onMade(): void }) {
  const [ttl, setTtl] = useState("600");
  const [uses, setUses] = useState("1");
  const [labels, setLabels] = useState<Record<string, string>>({});
  const [controller, setController] = useState(
    () => `${location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname}:${PORT}`,
  );
  const [chosen, setChosen] = useState(false);
  // Who was there before is not who came.
  const before = useRef(new Set(props.known.map(({ id }) => id)));
  const make = useMutation({
    mutationFn: () => fleet.createToken({ ttlSeconds: Number(ttl), uses: Number(uses), labels }),
    onMutate: () => {
      before.current = new Set(props.known.map(({ id }) => id));
    },
    onSuccess: (answer) => {
      if (!chosen) setController((guess) => addressOf(answer.controllers, location.hostname) ?? guess);
      props.onMade();
    },
  });
  const refused = atFields(make.error, "ttl_seconds", "uses", "labels");
  const token = make.data;
  const came = token ? props.known.filter(({ id }) => !before.current.has(id)) : [];
  const right = /^\d{1,4}$/.test(uses) && Number(uses) >= 1 && controller.trim() !== "";
  return (
    <Dialog wide open onClose={props.onClose} title={words.title} help={words.help}>
      <Fields>
        <Row>
          <Field name={words.controller} help={words.controllerHelp}>
            {(wiring) => (
              <input
                className="input mono"
                spellCheck={false}
                value={controller}
                onChange={(event) => {
                  setController(event.target.value);
                  setChosen(true);
                }}
                {...wiring}
              />
            )}
          </Field>
          <Field name={words.ttl} wrong={refused.at.ttl_seconds}>
            {(wiring) => (
              <select
                className="input"
                disabled={token !== undefined}
                value={ttl}
                onChange={(event) => setTtl(event.target.value)}
                {...wiring}
              >
                {Object.entries(words.ttls).map(([seconds, name]) => (
                  <option key={seconds} value={seconds}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <Field name={words.uses} wrong={refused.at.uses}>
            {(wiring) => (
              <input
                className="input"
                type="number"
                min={1}
                max={9999}
                disabled={token !== undefined}
                value={uses}
                onChange={(event) => setUses(event.target.value)}
                {...wiring}
              />
            )}
          </Field>
        </Row>
        {!token && <LabelsField name={words.labels} value={labels} onChange={setLabels} wrong={refused.at.labels} />}
        <Refused error={refused.rest} />
        {token && (
          <>
            <ol className={styles.steps}>
              <li>
                <div>
                  {token.installCommand === "" ? words.stepInstall : words.stepInstallAll}
                  {token.installCommand !== "" && <Command text={token.installCommand} label={words.stepInstallAll} />}
                </div>
              </li>
              <li>
                <div>
                  {words.stepRun}
                  <Command text={enrollCommand(controller.trim(), token.token)} label={words.stepRun} />
                  <p className={styles.faint}>
                    {words.valid(count(token.uses, "host"), time(token.expires))} {words.remembers}
                  </p>
                </div>
              </li>
              <li>
                <div>
                  {words.stepStart}
                  <Command text="systemctl enable --now cnnf-defender" label={words.stepStart} />
                </div>
              </li>
            </ol>
            <div role="status" className={`${styles.waiting} ${came.length > 0 ? styles.here : ""}`}>
              {came.length === 0 ? (
                <>
                  <span className={styles.pulse} aria-hidden />
                  {words.waiting}
                </>
              ) : (
                <>
                  <CircleCheck size={16} aria-hidden />
                  {words.came(came.map(({ host }) => safe(host, 40)).join(", "))}
                </>
              )}
            </div>
          </>
        )}
        <p className={styles.faint}>{words.nothingBlocked}</p>
      </Fields>
      <DialogActions>
        {token ? (
          <>
            <button type="button" className="btn" onClick={() => make.reset()}>
              {words.another}
            </button>
            <button type="button" className="btn primary" onClick={props.onClose}>
              {words.done}
            </button>
          </>
        ) : (
          <>
            <button type="button" className="btn" onClick={props.onClose}>
              {parts.cancel}
            </button>
            <button type="button" className="btn primary" disabled={!right || make.isPending} onClick={() => make.mutate()}>
              {words.make}
            </button>
          </>
        )}
      </DialogActions>
    </Dialog>
  );
}
