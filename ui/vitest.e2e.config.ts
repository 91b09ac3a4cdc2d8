import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

/** Tests in a real browser: one after another, as they share the machine with what they measure. */
export default defineConfig({
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  test: { include: ["e2e/**/*.test.ts"], environment: "node", fileParallelism: false, testTimeout: 60_000, hookTimeout: 120_000 },
});
