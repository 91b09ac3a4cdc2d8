import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { session as client } from "~/api/clients";
import { keys } from "~/api/keys";
import { onSignedOut } from "~/api/transport";
import type { Session } from "~/gen/cnnf/v1/access_pb";
import { Failed, Loading } from "~/parts/states";
import { NewPassword } from "./new-password";
import { SignIn } from "./sign-in";

const Signed = createContext<Session | undefined>(undefined);

/** Who is signed in. Only below `SessionGate`. */
export function useSession(): Session {
  const session = useContext(Signed);
  if (!session) throw new Error("useSession outside of SessionGate");
  return session;
}

/** Lets nobody past who is not signed in. The address stays, so whoever signs in again is where they were. */
export function SessionGate(props: { children: ReactNode }) {
  const cache = useQueryClient();
  const [ended, setEnded] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: keys.session(),
    queryFn: ({ signal }) => client.getSession({}, { signal }),
    staleTime: 60_000,
  });

  useEffect(
    () =>
      onSignedOut(() => {
        setEnded(true);
        // What one user has seen is not for the next.
        cache.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
      }),
    [cache],
  );

  const nobody = error && ConnectError.from(error).code === Code.Unauthenticated;
  const enter = (session: Session) => {
    cache.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
    cache.setQueryData(keys.session(), session);
    setEnded(false);
  };
  if (nobody || ended) return <SignIn expired={ended && data !== undefined} onSession={enter} />;
  if (!data) return error ? <Failed error={error} onRetry={() => void refetch()} /> : <Loading />;
  if (data.mustChangePassword) return <NewPassword session={data} onSession={enter} />;
  return <Signed value={data}>{props.children}</Signed>;
}
