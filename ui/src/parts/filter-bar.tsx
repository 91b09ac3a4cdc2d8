import { Autocomplete } from "@base-ui/react/autocomplete";
import { Search, X } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";
import { type Field, readFilter, type Suggestion, suggest, writeFilter } from "./filter";
import styles from "./filter-bar.module.css";

interface Props<Row> {
  /** What the address says. */
  value: string;
  onChange(value: string): void;
  fields: readonly Field<Row>[];
  /** Where values to suggest come from. */
  rows: readonly Row[];
  placeholder: string;
}

/** How long typing must rest before the rows are filtered. */
const REST = 120;

/** A field for a filter, with suggestions of keys and of values that there are. `/` goes to it. */
export function FilterBar<Row>(props: Props<Row>) {
  const { value, onChange, fields, rows } = props;
  const [text, setText] = useState(value);
  const [open, setOpen] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const sent = useRef(value);

  // Back, a link or a button changed the address.
  useEffect(() => {
    if (value !== sent.current) setText(value);
    sent.current = value;
  }, [value]);

  useEffect(() => {
    const next = text.trim();
    if (next === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = next;
      onChange(next);
    }, REST);
    return () => clearTimeout(timer);
  }, [text, onChange]);

  useEffect(() => {
    const slash = (event: KeyboardEvent) => {
      const target = event.target as Element;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || target.closest("input, textarea, select, [role=dialog]"))
        return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", slash);
    return () => removeEventListener("keydown", slash);
  }, []);

  const suggestions = useMemo(() => (open ? suggest(text, fields, rows) : []), [open, text, fields, rows]);
  const terms = useMemo(
    () =>
      readFilter(
        value,
        fields.map(({ key }) => key),
      ),
    [value, fields],
  );

  return (
    <div className={styles.bar}>
      <Autocomplete.Root
        items={suggestions}
        mode="none"
        value={text}
        open={open && suggestions.length > 0}
        openOnInputClick
        onOpenChange={(next, details) => details.reason !== "item-press" && setOpen(next)}
        onValueChange={(next, details) => {
          setText(next);
          // A chosen key wants a value next; a chosen value is all.
          if (details.reason === "item-press") setOpen(next.endsWith(":"));
        }}
        itemToStringValue={(suggestion: Suggestion) => suggestion.text}
      >
        <div className={styles.box}>
          <Search size={14} aria-hidden className={styles.icon} />
          <Autocomplete.Input
            ref={input}
            className={`input ${styles.input}`}
            placeholder={props.placeholder}
            aria-label={parts.filter}
            spellCheck={false}
          />
          {text !== "" && (
            <button type="button" className={styles.clear} aria-label={parts.clearFilter} onClick={() => setText("")}>
              <X size={13} aria-hidden />
            </button>
          )}
        </div>
        <Autocomplete.Portal>
          <Autocomplete.Positioner className={styles.positioner} sideOffset={4} align="start">
            <Autocomplete.Popup className={styles.popup}>
              <Autocomplete.List>
                {(suggestion: Suggestion) => (
                  <Autocomplete.Item key={suggestion.term} value={suggestion} className={styles.item}>
                    <code className="name">{safe(suggestion.term, 80)}</code>
                    <span className={styles.label}>{suggestion.label}</span>
                  </Autocomplete.Item>
                )}
              </Autocomplete.List>
              <div className={styles.help}>{parts.filterHelp}</div>
            </Autocomplete.Popup>
          </Autocomplete.Positioner>
        </Autocomplete.Portal>
      </Autocomplete.Root>
      {terms.some(({ key }) => key !== "") && (
        <ul className={styles.terms} aria-label={parts.filter}>
          {terms.map((term, n) => {
            if (term.key === "") return null;
            const name = `${term.not ? "−" : ""}${term.key}: ${safe(term.value, 40)}`;
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: a term may stand twice
              <li key={n}>
                <button type="button" className={styles.term} onClick={() => setText(writeFilter(terms.filter((_, other) => other !== n)))}>
                  <bdi>{name}</bdi>
                  <X size={11} aria-hidden />
                </button>
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}
