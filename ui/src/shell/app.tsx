import { type ComponentType, lazy, Suspense, useEffect } from "react";
import { Redirect, Route, Switch, useLocation } from "wouter";
import { Unconfirmed } from "~/pages/defend/unconfirmed";
import { Empty, Loading } from "~/parts/states";
import { Toasts } from "~/parts/toasts";
import { text } from "~/text";
import styles from "./app.module.css";
import { Boundary } from "./boundary";
import { Help } from "./help";
import { PAGES, type PageName } from "./links";
import { Lost } from "./lost";
import { Rail } from "./rail";
import { SessionGate } from "./session";

type Page = () => Promise<{ default: ComponentType }>;

/** Each page is a file of its own, loaded when it is first opened. */
const LOADERS: Record<PageName, Page> = {
  radar: () => import("~/radar/index"),
  defend: () => import("~/pages/defend/index"),
  monitor: () => import("~/pages/monitor/index"),
  models: () => import("~/pages/models/index"),
  hosts: () => import("~/pages/hosts/index"),
  settings: () => import("~/pages/settings/index"),
  audit: () => import("~/pages/audit/index"),
};
const VIEWS = Object.fromEntries(PAGES.map((name) => [name, lazy(LOADERS[name])])) as unknown as Record<PageName, ComponentType>;

/** Everything: who is signed in, the navigation, and the page that the address names. */
export function App() {
  return (
    <SessionGate>
      <Frame />
    </SessionGate>
  );
}

function Frame() {
  const [path] = useLocation();
  const page = PAGES.find((name) => path === `/${name}` || path.startsWith(`/${name}/`));

  useEffect(() => {
    document.title = page ? `${text.shell.pages[page]} · ${text.shell.product}` : text.shell.product;
  }, [page]);

  return (
    <div className={styles.frame}>
      <a className={styles.skip} href="#page">
        {text.shell.skip}
      </a>
      <Rail current={page} />
      <div className={styles.column}>
        <Lost />
        <Unconfirmed />
        <main id="page" className={styles.page} tabIndex={-1}>
          <Boundary resetKey={page ?? path}>
            <Suspense fallback={<Loading />}>
              <Switch>
                <Route path="/">
                  <Redirect to="/radar" replace />
                </Route>
                {PAGES.map((name) => (
                  // A page reads what follows its name from the address itself.
                  <Route key={name} path={`/${name}/*?`} component={VIEWS[name]} />
                ))}
                <Route>
                  <Empty
                    title={text.shell.notFound}
                    action={
                      <a className="btn" href="/radar">
                        {text.shell.toRadar}
                      </a>
                    }
                  >
                    {text.shell.notFoundHelp}
                  </Empty>
                </Route>
              </Switch>
            </Suspense>
          </Boundary>
        </main>
      </div>
      <Help page={page} />
      <Toasts />
    </div>
  );
}
