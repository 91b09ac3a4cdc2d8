import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Audit() {
  return <Empty title={text.shell.pages.audit} />;
}
