import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Hosts() {
  return <Empty title={text.shell.pages.hosts} />;
}
