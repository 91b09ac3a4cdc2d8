import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useMemo } from "react";
import { type Field, matcher, readFilter } from "./filter";
import { FilterBar } from "./filter-bar";
import { NothingFound } from "./nothing-found";
import { Pending } from "./states";
import { type Column, DataTable } from "./table";
import { done, failed } from "./toasts";

interface Named {
  name: string;
}

/** Things that are kept by their names, and how a page has them. */
interface List<Row extends Named> {
  label: string;
  /** Absent as long as nothing is known of them. */
  rows: readonly Row[] | undefined;
  error: unknown;
  onRetry(): void;
  columns: readonly Column<Row>[];
  /** What they can be filtered by; a constant. */
  fields: readonly Field<Row>[];
  placeholder: string;
  /** The filter, as the address has it. */
  q: string;
  onFilter(q: string, how?: { replace: boolean }): void;
  selected?: string | undefined;
  onOpen?(row: Row): void;
  /** Moves one to another place, where their order counts; not while a filter hides some. */
  onMove?: ((name: string, to: number) => void) | undefined;
  /** What stands there when there are none at all. */
  none?: ReactNode;
}

/** A field for the filter and the table behind it: what all lists of named things have in common. */
export function useNamed<Row extends Named>(list: List<Row>): { bar: ReactNode; table: ReactNode } {
  const { rows, fields, q, onFilter } = list;
  const found = useMemo(() => {
    const keys = fields.map(({ key }) => key);
    return (rows ?? []).filter(matcher(readFilter(q, keys), fields, ({ name }) => name));
  }, [rows, fields, q]);
  return {
    bar: (
      <FilterBar
        value={q}
        onChange={(next) => onFilter(next, { replace: true })}
        fields={fields}
        rows={rows ?? []}
        placeholder={list.placeholder}
      />
    ),
    table: rows ? (
      <DataTable
        label={list.label}
        rows={found}
        columns={list.columns}
        keyOf={nameOf}
        selected={list.selected}
        {...(list.onOpen ? { onOpen: list.onOpen } : {})}
        onMove={q === "" ? list.onMove : undefined}
        empty={q === "" && list.none ? list.none : <NothingFound filter={q} onClear={() => onFilter("")} />}
      />
    ) : (
      <Pending error={list.error} onRetry={list.onRetry} />
    ),
  };
}

function nameOf({ name }: Named): string {
  return name;
}

/** Does something to one of them; what came of it is said, and then the list is asked for anew. */
export function useDeed<Wanted, Answer>(
  deed: (wanted: Wanted) => Promise<Answer>,
  says: (answer: Answer, wanted: Wanted) => string,
  onSettled: () => void,
): (wanted: Wanted) => void {
  return useMutation({
    mutationFn: deed,
    onSuccess: (answer, wanted) => done(says(answer, wanted)),
    onError: failed,
    onSettled,
  }).mutate;
}
