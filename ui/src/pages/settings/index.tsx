import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Settings() {
  return <Empty title={text.shell.pages.settings} />;
}
