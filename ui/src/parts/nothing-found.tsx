import { Empty } from "~/parts/states";
import { parts } from "~/text/parts";
import { safe } from "~/text/safe";

/** Nothing matches, why, and how to see everything again. */
export function NothingFound(props: { filter: string; onClear(): void }) {
  return (
    <Empty
      title={parts.nothingFound}
      action={
        <button type="button" className="btn" onClick={props.onClear}>
          {parts.clearFilter}
        </button>
      }
    >
      {parts.nothingFoundHelp(safe(props.filter, 80))}
    </Empty>
  );
}
