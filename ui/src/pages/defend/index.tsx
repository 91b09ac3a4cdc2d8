import { useLocation } from "wouter";
import { DefinitionsPage } from "./definitions";
import { DraftPage } from "./draft-page";
import { HistoryPage } from "./history";
import { ObjectsPage } from "./objects";
import { RulesPage } from "./rules";

/** Defend: rules, address objects, service definitions, what was changed, and the draft of what is to be changed. */
export default function Defend() {
  const [path] = useLocation();
  const part = path.split("/")[2] ?? "";
  if (part === "objects") return <ObjectsPage />;
  if (part === "definitions") return <DefinitionsPage />;
  if (part === "history") return <HistoryPage />;
  if (part === "draft") return <DraftPage />;
  return <RulesPage />;
}
