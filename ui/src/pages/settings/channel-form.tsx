import { useMutation } from "@tanstack/react-query";
import { ChevronRight, Send } from "lucide-react";
import { type ReactNode, useState } from "react";
import { channels as api } from "~/api/clients";
import { atFields } from "~/api/violations";
import type { Channel } from "~/gen/cnnf/v1/channel_pb";
import { Dialog, DialogActions } from "~/parts/dialog";
import { Check, Field, Fields, Refused, Row, type Wiring } from "~/parts/form";
import { LabelsField } from "~/parts/pick";
import { done } from "~/parts/toasts";
import { channels } from "~/text/channels";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { EMPTY, KINDS, type Kind, message, paths, type Written, written, wrong } from "./channel";
import styles from "./channels.module.css";
import { Tested } from "./tested";

const words = channels.form;

/** A channel to be written, and tried out before it is kept. */
export function ChannelForm(props: { old: Channel | undefined; onClose(): void; onDone(): void }) {
  const { old } = props;
  const [want, setWant] = useState<Written>(() => (old ? written(old) : EMPTY));
  const [tried, setTried] = useState(false);
  const put = (values: Partial<Written>) => setWant((before) => ({ ...before, ...values }));
  const save = useMutation({
    mutationFn: () => {
      const channel = message(want, old?.disabled ?? false);
      return old ? api.updateChannel({ channel }) : api.addChannel({ channel });
    },
    onSuccess: ({ name }) => {
      done(old ? channels.did.changed(safe(name)) : channels.did.added(safe(name)));
      props.onClose();
    },
    onSettled: props.onDone,
  });
  const test = useMutation({ mutationFn: () => api.testChannel({ channel: message(want, false) }) });
  const path = paths(want.kind);
  const refused = atFields(save.error ?? test.error, ...Object.values(path));
  const ours: ReturnType<typeof wrong> = tried ? wrong(want) : {};
  const at = (key: keyof typeof path) => ours[key] ?? refused.at[path[key]];
  const right = Object.keys(wrong(want)).length === 0;

  const text = (key: keyof typeof path & keyof Written, name: string, more: TextOptions = {}) => (
    <Field name={name} help={more.help} wrong={at(key)} {...(more.optional ? { optional: words.optional } : {})}>
      {(wiring: Wiring) =>
        more.rows ? (
          <textarea
            className="input mono"
            rows={more.rows}
            spellCheck={false}
            value={want[key] as string}
            onChange={(event) => put({ [key]: event.target.value })}
            {...wiring}
          />
        ) : (
          <input
            className={more.plain ? "input" : "input mono"}
            autoComplete="off"
            spellCheck={false}
            readOnly={more.fixed}
            placeholder={more.placeholder}
            value={want[key] as string}
            onChange={(event) => put({ [key]: event.target.value })}
            {...wiring}
          />
        )
      }
    </Field>
  );
  return (
    <Dialog wide open onClose={props.onClose} title={old ? words.edit : words.new} help={`${words.help} ${old ? words.keptHelp : ""}`}>
      <form
        noValidate
        onInput={() => {
          save.reset();
          test.reset();
        }}
        onSubmit={(event) => {
          event.preventDefault();
          setTried(true);
          if (right) save.mutate();
        }}
      >
        <Fields>
          <Row>
            {text("name", words.name, { plain: true, fixed: old !== undefined, placeholder: "ops" })}
            <Field name={words.kind}>
              {(wiring) => (
                <select className="input" value={want.kind} onChange={(event) => put({ kind: event.target.value as Kind })} {...wiring}>
                  {KINDS.map((kind) => (
                    <option key={kind} value={kind}>
                      {channels.kinds[kind]}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </Row>
          {want.kind === "webhook" && (
            <>
              {text("url", words.url, { help: words.urlHelp.webhook, placeholder: "https://alerts.example.org/cnnf" })}
              <Row>
                {text("secret", words.secret, { help: words.secretHelp, optional: true })}
                {text("headers", words.headers, { help: words.headersHelp, optional: true, rows: 2 })}
              </Row>
              {text("template", words.template, { help: words.templateHelp, optional: true, rows: 2 })}
            </>
          )}
          {want.kind === "slack" &&
            text("url", words.url, { help: words.urlHelp.slack, placeholder: "https://hooks.slack.com/services/…" })}
          {(want.kind === "syslog" || want.kind === "cef") &&
            text("server", words.syslogServer, { help: words.syslogHelp, placeholder: "tls://logs.example.org" })}
          {want.kind === "email" && (
            <>
              {text("server", words.emailServer, { help: words.emailHelp, placeholder: "smtp://mail.example.org" })}
              <Row>
                {text("user", words.user, { optional: true, plain: true })}
                {text("password", words.password, { optional: true })}
              </Row>
              <Row>
                {text("from", words.from, { plain: true, placeholder: "cnnf <cnnf@example.org>" })}
                {text("to", words.to, { help: words.toHelp, rows: 2 })}
              </Row>
            </>
          )}
          <h3>{words.which}</h3>
          <fieldset className={styles.kinds}>
            <legend>
              {words.kinds} <span className={styles.faint}>{words.kindsHelp}</span>
            </legend>
            {Object.entries(parts.kinds).map(([kind, name]) => (
              <Check
                key={kind}
                checked={want.kinds.includes(kind)}
                label={name}
                onChange={(on) => put({ kinds: on ? [...want.kinds, kind] : want.kinds.filter((one) => one !== kind) })}
              />
            ))}
          </fieldset>
          <Row>
            {text("rules", words.rules, { help: words.rulesHelp, optional: true, rows: 2 })}
            {text("services", words.services, { help: words.servicesHelp, optional: true, rows: 2 })}
          </Row>
          <LabelsField name={words.labels} value={want.labels} onChange={(labels) => put({ labels })} wrong={at("labels")} />
          <details className={styles.more} open={at("messages") !== undefined || at("caPem") !== undefined || undefined}>
            <summary>
              <ChevronRight size={14} aria-hidden />
              {words.more}
            </summary>
            <Fields>
              <Row>
                {text("messages", words.messages, { help: words.messagesHelp, optional: true, plain: true, placeholder: "20" })}
                <Field name={words.seconds} optional={words.optional}>
                  {(wiring) => (
                    <input
                      className="input"
                      placeholder="60"
                      value={want.seconds}
                      onChange={(event) => put({ seconds: event.target.value })}
                      {...wiring}
                    />
                  )}
                </Field>
              </Row>
              {text("caPem", words.ca, { help: words.caHelp, optional: true, rows: 3 })}
            </Fields>
          </details>
          <Tested waits={test.isPending} answer={test.data} udp={want.server.startsWith("udp:")} />
          <Refused error={refused.rest} />
        </Fields>
        <DialogActions onCancel={props.onClose}>
          <button
            type="button"
            className="btn"
            disabled={test.isPending}
            onClick={() => {
              setTried(true);
              save.reset();
              if (right) test.mutate();
            }}
          >
            <Send size={14} aria-hidden />
            {words.test}
          </button>
          <button type="submit" className="btn primary" disabled={save.isPending}>
            {words.save}
          </button>
        </DialogActions>
      </form>
    </Dialog>
  );
}

interface TextOptions {
  help?: ReactNode;
  optional?: boolean;
  /** So many lines; one that cannot be broken without. */
  rows?: number;
  /** Words, not code. */
  plain?: boolean;
  fixed?: boolean;
  placeholder?: string;
}
