import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Eraser, FilePlus2, GraduationCap, Play, RotateCw, Square, X } from "lucide-react";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { navigate } from "wouter/use-browser-location";
import { models as api, policy } from "~/api/clients";
import { inWords } from "~/api/errors";
import { keys } from "~/api/keys";
import type { Model } from "~/gen/cnnf/v1/admin_pb";
import { EffectChip, PhaseChip } from "~/parts/chips";
import { Confirm, type Question } from "~/parts/dialog";
import { Field } from "~/parts/form";
import type { May } from "~/parts/may";
import { Menu } from "~/parts/menu";
import { LongText } from "~/parts/name";
import { Facts, Pane, Section } from "~/parts/pane";
import { EndPicker } from "~/parts/pick";
import { Pending } from "~/parts/states";
import { done, failed } from "~/parts/toasts";
import { Ago, When } from "~/parts/when";
import { links } from "~/shell/links";
import { count, number } from "~/text/format";
import { models } from "~/text/models";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import { add, setObject, type Wanted } from "../defend/draft/draft";
import { change } from "../defend/draft/store";
import { policyOf, wanted } from "../defend/draft/wire";
import { knownPercent, type OwnEdge, ownEdge, perDay } from "./edges";
import { Known } from "./index";
import styles from "./models.module.css";

/** What a model knows, how ready it is, and what can be done with it. */
export function ModelPane(props: { model: Model; may: May; onClose(): void }) {
  const { may } = props;
  const { service } = props.model;
  const client = useQueryClient();
  const [question, setQuestion] = useState<Question>();
  const whole = useQuery({
    queryKey: keys.model(service),
    queryFn: ({ signal }) => api.getModel({ service }, { signal }),
    refetchInterval: 5_000,
  });
  const model = whole.data ?? props.model;
  const name = safe(shortName(service), 60);
  const settle = () => {
    for (const key of [keys.models(), keys.radar()]) void client.invalidateQueries({ queryKey: key });
  };
  const act = useMutation({
    mutationFn: (how: () => Promise<Model>) => how(),
    onSuccess: (after) => done(models.did.done(name, (parts.phases as Record<string, string>)[after.phase] ?? after.phase)),
    onError: failed,
    onSettled: settle,
  });
  const suggest = useMutation({
    mutationFn: async () => {
      const [answer, rules] = await Promise.all([policy.suggestRules({ service }), policy.listRules({})]);
      return { answer, base: policyOf(rules) };
    },
    onSuccess: ({ answer, base }) => {
      const rules = answer.suggestions.flatMap(({ rule }) => (rule ? [wanted(rule)] : []));
      if (rules.length === 0) {
        done(models.did.nothing);
        return;
      }
      change(base, (draft) => {
        const taken = new Set(draft.rules.map(({ want }) => want.name));
        const withObjects = answer.objects.reduce(
          (on, { name, addresses }) => (on.objects.some((object) => object.name === name) ? on : setObject(on, { name, addresses })),
          draft,
        );
        return rules.reduce((on, want) => add(on, unique(want, taken)), withObjects);
      });
      done(models.did.suggested(count(rules.length, "rule")), { name: models.pane.review, act: () => navigate("/defend/draft") });
    },
    onError: failed,
  });
  const expected = model.expectedEvents === undefined ? "" : models.ask.expected(perDay(model.expectedEvents));
  const learning = model.phase === "learning" || model.phase === "dry_run";
  return (
    <Pane
      label={models.pane.label(name)}
      title={<LongText of={service} mono={false} />}
      kicker={
        <>
          <PhaseChip phase={model.phase} />
          {model.manual && <span>{models.manual}</span>}
        </>
      }
      onClose={props.onClose}
      actions={
        <>
          {may.change && learning && (
            <button
              type="button"
              className="btn primary"
              disabled={act.isPending}
              onClick={() =>
                setQuestion({
                  title: models.ask.activate(name),
                  help: models.ask.activateHelp(expected),
                  yes: models.ask.yesActivate,
                  act: () => act.mutate(() => api.activateModel({ service })),
                })
              }
            >
              <Play size={14} aria-hidden />
              {models.actions.activate}
            </button>
          )}
          {may.change && (
            <button type="button" className="btn" disabled={suggest.isPending} onClick={() => suggest.mutate()}>
              <FilePlus2 size={14} aria-hidden />
              {models.actions.suggest}
            </button>
          )}
          <Menu
            label={parts.actionsFor(name)}
            items={[
              { name: models.actions.radar, act: () => navigate(links.radar({ node: service })) },
              { name: models.actions.events, act: () => navigate(links.events({ service })) },
              may.change && "line",
              may.change && { name: models.actions.relearn, icon: RotateCw, act: () => act.mutate(() => api.relearnModel({ service })) },
              may.change &&
                (model.manual
                  ? { name: models.actions.stop, icon: Square, act: () => act.mutate(() => api.stopLearning({ service })) }
                  : { name: models.actions.start, icon: GraduationCap, act: () => act.mutate(() => api.startLearning({ service })) }),
              may.change && {
                name: models.actions.reset,
                icon: Eraser,
                danger: true,
                act: () =>
                  setQuestion({
                    title: models.ask.reset(name),
                    help: models.ask.resetHelp,
                    yes: models.ask.yesReset,
                    act: () => act.mutate(() => api.resetModel({ service })),
                  }),
              },
            ]}
          />
        </>
      }
    >
      <Section title={models.pane.readiness}>
        {model.connections === 0n ? (
          <p className={styles.says}>{models.pane.nothingSeen}</p>
        ) : (
          <>
            <Known model={model} />
            <p className={styles.says}>
              {models.pane.readyAt(knownPercent(model.unseenProbability), number(model.connections))}{" "}
              {model.expectedEvents !== undefined && models.pane.expect(perDay(model.expectedEvents), model.phase === "active")}
            </p>
          </>
        )}
      </Section>
      <Section title={models.pane.facts}>
        <Facts
          of={[
            [models.pane.since, <When key="since" at={model.since} />],
            [models.pane.observed, safe(model.observed)],
            [models.pane.exposed, safe(model.exposed)],
            [models.pane.resume, model.resume && <PhaseChip key="resume" phase={model.resume} />],
            [models.pane.connections, number(model.connections)],
            [models.pane.effectNow, <EffectChip key="effect" effect={model.anomalyEffect} />],
          ]}
        />
      </Section>
      {may.change && (
        <Section title={models.pane.effect}>
          <Field name="">
            {(wiring) => (
              <select
                className="input"
                {...wiring}
                aria-label={models.pane.effect}
                value="now"
                disabled={act.isPending}
                onChange={(event) => act.mutate(() => api.setAnomalyEffect({ service, effect: event.target.value }))}
              >
                <option value="now" disabled>
                  {models.pane.effects[model.anomalyEffect]}
                </option>
                {["alert", "prevent", ""].map((effect) => (
                  <option key={effect} value={effect}>
                    → {models.pane.effects[effect]}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </Section>
      )}
      <Section title={models.pane.edges} aside={<span className={styles.faint}>{number(model.edgeCount)}</span>}>
        {!whole.data ? (
          <Pending error={whole.error} onRetry={whole.refetch} />
        ) : (
          <Edges
            model={whole.data}
            onForget={
              may.change
                ? (edge) =>
                    setQuestion({
                      title: models.ask.forget(`${edge.direction} ${safe(edge.peer, 60)} ${edge.port}`),
                      help: models.ask.forgetHelp,
                      yes: models.ask.yesForget,
                      act: () => act.mutate(() => api.forgetEdge({ service, edge })),
                    })
                : undefined
            }
          />
        )}
        {may.change && <Approve service={service} onDone={settle} />}
      </Section>
      <Confirm question={question} onClose={() => setQuestion(undefined)} />
    </Pane>
  );
}

/** A rule with a name that no other has. */
function unique(want: Wanted, taken: Set<string>): Wanted {
  let name = want.name;
  for (let n = 2; taken.has(name); n += 1) name = `${want.name} ${n}`;
  taken.add(name);
  return { ...want, name };
}

/** So many edges are drawn; a filter finds the others. */
const SHOWN = 200;

function Edges(props: { model: Model; onForget: ((edge: OwnEdge) => void) | undefined }) {
  const { model, onForget } = props;
  const [find, setFind] = useState("");
  if (model.edges.length === 0) return <p className={styles.says}>{models.pane.noEdges}</p>;
  const wanted = find.trim().toLowerCase();
  const all = model.edges.map((learned) => ({ learned, own: ownEdge(model.service, learned) }));
  const found = all.filter(({ own }) => `${own.direction} ${own.peer} ${own.port}`.toLowerCase().includes(wanted));
  return (
    <>
      {model.edges.length > 12 && (
        <input
          className={`input ${styles.find}`}
          aria-label={models.pane.findEdges}
          placeholder={models.pane.findEdges}
          value={find}
          onChange={(event) => setFind(event.target.value)}
        />
      )}
      <ul className={styles.edges}>
        {found.slice(0, SHOWN).map(({ learned, own }) => (
          <li key={`${own.direction} ${own.peer} ${own.port}`}>
            <span className={styles.direction}>{models.pane[own.direction]}</span>
            <span className={styles.peer}>
              {/^(unit|exe|container|svc):/.test(own.peer) ? (
                <Link href={links.radar({ node: own.peer })} title={safe(own.peer)}>
                  {safe(shortName(own.peer), 60)}
                </Link>
              ) : (
                <bdi>{safe(own.peer, 60)}</bdi>
              )}
              <code>{safe(own.port)}</code>
              <span className={styles.origin}>
                {models.pane.origins[learned.origin] ?? safe(learned.origin)} · {count(learned.connections, "connection")} ·{" "}
                <Ago at={learned.lastSeen} />
              </span>
            </span>
            <span />
            {onForget && (
              <button
                type="button"
                className="btn quiet icon"
                aria-label={`${models.pane.forget} ${own.direction} ${safe(own.peer, 60)} ${own.port}`}
                onClick={() => onForget(own)}
              >
                <X size={13} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      {found.length > SHOWN && <p className={styles.says}>{parts.more(count(found.length - SHOWN, "edge"))}</p>}
    </>
  );
}

function Approve(props: { service: string; onDone(): void }) {
  const [edge, setEdge] = useState<OwnEdge>({ direction: "to", peer: "", port: "" });
  const approve = useMutation({
    mutationFn: () => api.approveEdge({ service: props.service, edge }),
    onSuccess: () => setEdge({ ...edge, peer: "", port: "" }),
    onSettled: props.onDone,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    approve.mutate();
  };
  return (
    <form className={styles.approve} onSubmit={submit} aria-label={models.pane.approve}>
      <Field name={models.pane.direction}>
        {(wiring) => (
          <select
            className="input"
            value={edge.direction}
            onChange={(event) => setEdge({ ...edge, direction: event.target.value as "to" })}
            {...wiring}
          >
            <option value="to">{models.pane.to}</option>
            <option value="from">{models.pane.from}</option>
          </select>
        )}
      </Field>
      <Field name={models.pane.peer}>
        {(wiring) => (
          <EndPicker
            any={false}
            objects={NO_OBJECTS}
            value={edge.peer}
            onChange={(peer) => setEdge({ ...edge, peer })}
            wiring={wiring}
            placeholder="unit:postgresql"
          />
        )}
      </Field>
      <Field name={models.pane.port}>
        {(wiring) => (
          <input
            className="input mono"
            placeholder="tcp/5432"
            value={edge.port}
            onChange={(event) => setEdge({ ...edge, port: event.target.value.trim() })}
            {...wiring}
          />
        )}
      </Field>
      <button type="submit" className="btn" disabled={edge.peer.trim() === "" || edge.port === "" || approve.isPending}>
        {models.pane.add}
      </button>
      {approve.error && (
        <p role="alert" className={styles.wrong}>
          {safe(inWords(approve.error), 600)}
        </p>
      )}
    </form>
  );
}

const NO_OBJECTS: never[] = [];
