import type { ReactNode } from "react";
import { useLocation } from "wouter";
import { useMay } from "~/parts/may";
import { Page, Tabs } from "~/parts/page";
import { settings } from "~/text/settings";
import { AccountPart } from "./account";
import { ChannelsPart } from "./channels";
import { GeneralPart } from "./general";
import { TokensPart } from "./tokens";
import { UsersPart } from "./users";

type Part = "general" | "channels" | "users" | "tokens" | "account";

/** Settings: durations and effects, whom events are told, people and programs that may come in, the reader's own account. */
export default function Settings() {
  const [path] = useLocation();
  const may = useMay();
  const asked = path.split("/")[2] ?? "";
  const part: Part =
    asked === "account" || asked === "channels" || (may.govern && (asked === "users" || asked === "tokens")) ? asked : "general";
  const frame = (content: ReactNode, more: Around = {}) => (
    <Page
      title={settings.title}
      tabs={
        <Tabs
          label={settings.tabs.label}
          of={(["general", "channels", ...(may.govern ? (["users", "tokens"] as const) : []), "account"] as const).map((one) => ({
            href: one === "general" ? "/settings" : `/settings/${one}`,
            name: settings.tabs[one],
            current: one === part,
          }))}
        />
      }
      {...more}
    >
      {content}
    </Page>
  );
  if (part === "channels") return <ChannelsPart frame={frame} />;
  if (part === "users") return <UsersPart frame={frame} />;
  if (part === "tokens") return <TokensPart frame={frame} />;
  return frame(part === "account" ? <AccountPart /> : <GeneralPart />);
}

/** What a part has around it. */
interface Around {
  actions?: ReactNode;
  bar?: ReactNode;
  pane?: ReactNode;
}

/** How a part gets its surroundings. */
export type Frame = (content: ReactNode, more?: Around) => ReactNode;
