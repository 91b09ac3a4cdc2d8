import { useState } from "react";
import { Dialog, DialogActions } from "~/parts/dialog";
import { Field, Fields } from "~/parts/form";
import { done } from "~/parts/toasts";
import { defend } from "~/text/defend";
import { count } from "~/text/format";
import { type Policy, replace } from "./draft/draft";
import { change } from "./draft/store";

const LARGEST = 64 * 1024 * 1024;

/** Takes a policy file into the draft. */
export function ImportDialog(props: { base: Policy; onClose(): void; onDone(): void }) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<string>();
  const go = async () => {
    const { readPolicy } = await import("./policy-file");
    const file = readPolicy(text);
    if (file.wrong !== undefined) {
      setWrong(file.wrong);
      return;
    }
    change(props.base, (draft) => replace(draft, file.rules, file.objects));
    done(defend.importing.done(count(file.rules.length, "rule"), count(file.objects.length, "object")));
    props.onClose();
    props.onDone();
  };
  return (
    <Dialog wide open onClose={props.onClose} title={defend.importing.title} help={defend.importing.help}>
      <Fields>
        <Field name={defend.importing.file}>
          {(wiring) => (
            <input
              type="file"
              accept=".yaml,.yml,application/yaml,text/yaml"
              onChange={async (event) => {
                const file = event.target.files?.[0];
                if (!file) return;
                if (file.size > LARGEST) setWrong(defend.importing.tooLarge);
                else {
                  setText(await file.text());
                  setWrong(undefined);
                }
              }}
              {...wiring}
            />
          )}
        </Field>
        <Field name={defend.importing.text} wrong={wrong}>
          {(wiring) => (
            <textarea
              className="input mono"
              rows={14}
              spellCheck={false}
              placeholder={defend.importing.placeholder}
              value={text}
              onChange={(event) => {
                setText(event.target.value);
                setWrong(undefined);
              }}
              {...wiring}
            />
          )}
        </Field>
      </Fields>
      <DialogActions onCancel={props.onClose}>
        <button type="button" className="btn primary" disabled={text.trim() === ""} onClick={go}>
          {defend.importing.go}
        </button>
      </DialogActions>
    </Dialog>
  );
}
