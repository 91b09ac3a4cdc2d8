import { AlertDialog } from "@base-ui/react/alert-dialog";
import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type ReactNode, useRef } from "react";
import { parts } from "~/text/parts";
import styles from "./dialog.module.css";

/** A dialog over the page: Esc and the cross close it, focus stays in it and goes back afterwards. */
export function Dialog(props: { open: boolean; onClose(): void; title: string; help?: ReactNode; wide?: boolean; children: ReactNode }) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <Base.Root open={props.open} onOpenChange={(open) => !open && props.onClose()}>
      <Base.Portal>
        <Base.Backdrop className={styles.backdrop} />
        <Base.Popup
          ref={popup}
          className={`${styles.popup} ${props.wide ? styles.wide : ""}`}
          // What one came to write, before what closes it.
          initialFocus={() => popup.current?.querySelector<HTMLElement>("input:not([type=file]), textarea, select") ?? true}
        >
          <div className={styles.head}>
            <Base.Title className={styles.title}>{props.title}</Base.Title>
            <Base.Close className="btn quiet icon" aria-label={parts.close}>
              <X size={16} aria-hidden />
            </Base.Close>
          </div>
          {props.help && <Base.Description className={styles.help}>{props.help}</Base.Description>}
          <div className={styles.body}>{props.children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

/** The buttons at a dialog's end; the one that changes nothing comes first. */
export function DialogActions(props: { onCancel?: () => void; children: ReactNode }) {
  return (
    <div className={styles.actions}>
      {props.onCancel && (
        <button type="button" className="btn" onClick={props.onCancel}>
          {parts.cancel}
        </button>
      )}
      {props.children}
    </div>
  );
}

/** What is asked before something that cannot be taken back. */
export interface Question {
  title: string;
  help?: ReactNode;
  /** What the button says that does it. */
  yes: string;
  act(): void;
}

/** Asks; closing is no. */
export function Confirm(props: { question: Question | undefined; onClose(): void }) {
  const { question, onClose } = props;
  return (
    <AlertDialog.Root open={question !== undefined} onOpenChange={(open) => !open && onClose()}>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className={styles.backdrop} />
        <AlertDialog.Popup className={styles.popup}>
          <AlertDialog.Title className={`${styles.title} ${styles.head}`}>{question?.title}</AlertDialog.Title>
          <AlertDialog.Description className={styles.help}>{question?.help}</AlertDialog.Description>
          <div className={styles.actions}>
            <AlertDialog.Close className="btn">{parts.cancel}</AlertDialog.Close>
            <button
              type="button"
              className="btn danger"
              onClick={() => {
                question?.act();
                onClose();
              }}
            >
              {question?.yes}
            </button>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
