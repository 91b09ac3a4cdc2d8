import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Monitor() {
  return <Empty title={text.shell.pages.monitor} />;
}
