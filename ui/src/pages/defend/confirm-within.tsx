import { Field } from "~/parts/form";
import { defend } from "~/text/defend";

export const WITHIN = { none: 0, s120: 120, s300: 300, s900: 900, s3600: 3_600 } as const;
export type Within = keyof typeof WITHIN;

/** Whether a change stays, or is undone unless it is confirmed in time. */
export function ConfirmWithin(props: { value: Within; onChange(value: Within): void }) {
  return (
    <Field name={defend.draft.confirm}>
      {(wiring) => (
        <select className="input" value={props.value} onChange={(event) => props.onChange(event.target.value as Within)} {...wiring}>
          {(Object.keys(WITHIN) as Within[]).map((within) => (
            <option key={within} value={within}>
              {defend.draft.confirmOptions[within]}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
