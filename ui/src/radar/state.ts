import { flagParam, intParam, listParam, textParam, type ValuesOf, wordParam, wordsParam } from "~/shell/address";
import { CHANGED, STANDING } from "./filter";
import { RANGES } from "./use-data";

/** All that a reader can set on Radar: it is in the address. */
export const SHAPE = {
  q: textParam(),
  range: wordParam(RANGES, "24h"),
  from: intParam(0),
  until: intParam(0),
  compare: flagParam(),
  against: intParam(0),
  group: textParam("auto"),
  connected: flagParam(),
  hide: wordsParam([...STANDING, ...CHANGED]),
  hubs: listParam(),
  open: listParam(),
  closed: listParam(),
  form: wordParam(["graph", "table"], "graph"),
  node: textParam(),
  edge: textParam(),
  camera: textParam(),
  draft: flagParam(),
  sort: textParam(),
};
export type State = ValuesOf<typeof SHAPE>;
export type SetState = (changes: Partial<State>, how?: { replace?: boolean }) => void;
