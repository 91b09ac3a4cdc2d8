import { Empty } from "~/parts/states";
import { text } from "~/text";

export default function Radar() {
  return <Empty title={text.shell.pages.radar} />;
}
