import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Models() {
  return <Empty title={text.shell.pages.models} />;
}
