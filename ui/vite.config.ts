import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` talks to a running controller: CNNF_WEB=https://10.86.0.250:8443 npm run dev
const controller = process.env.CNNF_WEB ?? "https://localhost:8443";

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "~": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: "es2022",
    // The page's policy forbids data: and inline anything.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1200,
    manifest: "manifest.json",
  },
  worker: { format: "es" },
  server: { proxy: { "/cnnf.v1.": { target: controller, secure: false } } },
  preview: { proxy: { "/cnnf.v1.": { target: controller, secure: false } } },
});
