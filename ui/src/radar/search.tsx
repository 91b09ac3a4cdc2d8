import { Search as Glass, X } from "lucide-react";
import { type KeyboardEvent, type Ref, useEffect, useId, useMemo, useState } from "react";
import { text } from "~/text";
import { safe } from "~/text/safe";
import { complete, type Labels, suggest } from "./filter";
import type { Graph } from "./graph";
import styles from "./search.module.css";

/** The search, with what somebody may mean. Enter takes the suggestion that is marked; a service is then also shown. */
export function Search(props: {
  graph: Graph;
  labels: Labels;
  query: string;
  onQuery: (query: string) => void;
  onPick: (id: string) => void;
  ref: Ref<HTMLInputElement>;
}) {
  const { graph, labels, query, onQuery } = props;
  const [typed, setTyped] = useState(query);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const list = useId();
  useEffect(() => setTyped(query), [query]);
  const offers = useMemo(() => (open ? suggest(graph, labels, typed) : []), [open, graph, labels, typed]);

  const type = (next: string) => {
    setTyped(next);
    setAt(-1);
    setOpen(true);
    onQuery(next.trim());
  };
  const take = (index: number) => {
    const offer = offers[index];
    if (!offer) return;
    const next = complete(typed, offer.insert);
    setTyped(next);
    onQuery(next.trim());
    setOpen(false);
    setAt(-1);
    if (graph.nodes.has(offer.insert)) props.onPick(offer.insert);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setOpen(true);
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((before) => (offers.length === 0 ? -1 : (before + step + offers.length + (before < 0 && step < 0 ? 1 : 0)) % offers.length));
    } else if (event.key === "Enter") {
      if (at >= 0) take(at);
      setOpen(false);
    } else if (event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      if (open && offers.length > 0) setOpen(false);
      else if (typed) type("");
      else event.currentTarget.blur();
      if (!typed) setOpen(false);
    }
  };
  const shown = open && offers.length > 0;
  return (
    <div className={styles.search}>
      <Glass size={15} className={styles.glass} aria-hidden />
      <input
        ref={props.ref}
        className={`input ${styles.input}`}
        role="combobox"
        aria-label={text.radar.searchLabel}
        aria-expanded={shown}
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={at >= 0 ? `${list}-${at}` : undefined}
        placeholder={text.radar.search}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => type(event.target.value)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {typed ? (
        <button type="button" className={styles.clear} aria-label={text.radar.clearSearch} onClick={() => type("")}>
          <X size={14} aria-hidden />
        </button>
      ) : (
        <kbd className={`kbd ${styles.key}`} aria-hidden>
          /
        </kbd>
      )}
      <div id={list} role="listbox" aria-label={text.radar.suggestions} className={styles.list} hidden={!shown}>
        {offers.map((offer, index) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field has the keys
          // biome-ignore lint/a11y/useFocusableInteractive: focus stays in the field
          <div
            key={`${offer.kind} ${offer.insert}`}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            className={styles.offer}
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => take(index)}
          >
            <span className="name">{safe(offer.name, 60)}</span>
            <span className={styles.kind}>{text.radar.kinds[offer.kind] ?? offer.kind}</span>
          </div>
        ))}
      </div>
    </div>
  );
}
