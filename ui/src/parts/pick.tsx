import { Autocomplete } from "@base-ui/react/autocomplete";
import { useQuery } from "@tanstack/react-query";
import { Plus, X } from "lucide-react";
import { useMemo, useState } from "react";
import { topology } from "~/api/clients";
import { keys } from "~/api/keys";
import { every } from "~/api/pages";
import type { AddressObject } from "~/gen/cnnf/v1/policy_pb";
import { parts } from "~/text/parts";
import { safe, shortName } from "~/text/safe";
import type { Wiring } from "./form";
import styles from "./pick.module.css";

interface Option {
  value: string;
  name: string;
  note: string;
}

interface Group {
  label: string;
  items: Option[];
}

/** All services, for pickers. */
export function useServices() {
  return useQuery({
    queryKey: [...keys.services(), "all"],
    queryFn: ({ signal }) =>
      every(
        (page) => topology.listServices({ page }, { signal }),
        (answer) => answer.services,
      ),
    staleTime: 15_000,
  });
}

/** One end of a rule: a service, an object, addresses, a glob or any; all that there is is offered, and anything can be written. */
export function EndPicker(props: {
  value: string;
  onChange(value: string): void;
  wiring: Wiring;
  objects: readonly Pick<AddressObject, "name" | "addresses">[];
  any?: boolean;
  placeholder?: string;
}) {
  const services = useServices().data;
  const groups = useMemo<Group[]>(() => {
    const all = (services ?? []).map(({ key, instances }) => ({
      value: key,
      name: shortName(key),
      note: [...new Set(instances.map(({ host }) => host))].slice(0, 3).join(", "),
    }));
    return [
      ...(props.any === false ? [] : [{ label: "", items: [{ value: "any", name: parts.any, note: parts.pick.every }] }]),
      { label: parts.pick.services, items: all },
      {
        label: parts.pick.objects,
        items: props.objects.map(({ name, addresses }) => ({ value: name, name, note: addresses.slice(0, 3).join(", ") })),
      },
    ].filter(({ items }) => items.length > 0);
  }, [services, props.objects, props.any]);
  return (
    <Autocomplete.Root
      items={groups}
      value={props.value}
      onValueChange={(value) => props.onChange(value)}
      openOnInputClick
      limit={60}
      itemToStringValue={(option: Option) => option.value}
      filter={(option: Option, query: string) => {
        const wanted = query.trim().toLowerCase();
        return wanted === props.value.trim().toLowerCase() && groups.some(({ items }) => items.some(({ value }) => value === props.value))
          ? true
          : `${option.value} ${option.name}`.toLowerCase().includes(wanted);
      }}
    >
      <Autocomplete.Input className="input" spellCheck={false} autoComplete="off" placeholder={props.placeholder} {...props.wiring} />
      <Autocomplete.Portal>
        <Autocomplete.Positioner className={styles.positioner} sideOffset={4} align="start">
          <Autocomplete.Popup className={styles.popup}>
            <Autocomplete.Empty>
              <div className={styles.empty}>{parts.pick.nothing}</div>
            </Autocomplete.Empty>
            <Autocomplete.List>
              {(group: Group) => (
                <Autocomplete.Group key={group.label} items={group.items}>
                  {group.label && <Autocomplete.GroupLabel className={styles.groupLabel}>{group.label}</Autocomplete.GroupLabel>}
                  <Autocomplete.Collection>
                    {(option: Option) => (
                      <Autocomplete.Item key={option.value} value={option} className={styles.item}>
                        <span className={styles.names}>
                          <bdi className="name">{safe(option.name, 60)}</bdi>
                          {option.value !== option.name && <code className={`name ${styles.key}`}>{safe(option.value, 80)}</code>}
                        </span>
                        <span className={`name ${styles.note}`}>{safe(option.note, 60)}</span>
                      </Autocomplete.Item>
                    )}
                  </Autocomplete.Collection>
                </Autocomplete.Group>
              )}
            </Autocomplete.List>
          </Autocomplete.Popup>
        </Autocomplete.Positioner>
      </Autocomplete.Portal>
    </Autocomplete.Root>
  );
}

/** Labels that a host must have: chips with a way to add one. */
export function LabelsField(props: {
  name: string;
  value: Record<string, string>;
  onChange(value: Record<string, string>): void;
  wrong?: string | undefined;
}) {
  const [adding, setAdding] = useState<{ key: string; value: string }>();
  const add = () => {
    if (adding && adding.key.trim() !== "") props.onChange({ ...props.value, [adding.key.trim()]: adding.value.trim() });
    setAdding(undefined);
  };
  return (
    <fieldset className={styles.labels}>
      <legend className="hidden">{props.name}</legend>
      {Object.entries(props.value).map(([key, value]) => (
        <button
          key={key}
          type="button"
          className={styles.label}
          aria-label={parts.pick.removeLabel(`${safe(key)}=${safe(value)}`)}
          onClick={() => props.onChange(Object.fromEntries(Object.entries(props.value).filter(([other]) => other !== key)))}
        >
          <bdi>
            {safe(key, 40)}={safe(value, 40)}
          </bdi>
          <X size={11} aria-hidden />
        </button>
      ))}
      {adding ? (
        <span className={styles.adding}>
          <input
            className="input"
            // biome-ignore lint/a11y/noAutofocus: it appears where one pressed to write
            autoFocus
            placeholder="env"
            aria-label={parts.pick.labelKey}
            value={adding.key}
            onChange={(event) => setAdding({ ...adding, key: event.target.value })}
          />
          =
          <input
            className="input"
            placeholder="prod"
            aria-label={parts.pick.labelValue}
            value={adding.value}
            onChange={(event) => setAdding({ ...adding, value: event.target.value })}
            onKeyDown={(event) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              add();
            }}
            onBlur={add}
          />
        </span>
      ) : (
        <button type="button" className={styles.add} onClick={() => setAdding({ key: "", value: "" })}>
          <Plus size={12} aria-hidden />
          {props.name}
        </button>
      )}
      {props.wrong && (
        <p className={styles.wrong} role="alert">
          {safe(props.wrong, 600)}
        </p>
      )}
    </fieldset>
  );
}
