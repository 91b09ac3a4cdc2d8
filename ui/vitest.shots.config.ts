import { mergeConfig } from "vitest/config";
import e2e from "./vitest.e2e.config";

export default mergeConfig({ ...e2e, test: { ...e2e.test, include: [] } }, { test: { include: ["e2e/shots.ts"] } });
