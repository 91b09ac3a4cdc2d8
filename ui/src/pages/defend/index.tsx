import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Defend() {
  return <Empty title={text.shell.pages.defend} />;
}
