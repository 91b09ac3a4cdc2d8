// Checks what a first visit loads: the entry, what it imports statically, and the first page's own part, gzipped.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const LIMIT_KB = 350;
const dist = new URL("../dist/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", dist), "utf8"));

function closure(key, seen = new Set()) {
  const chunk = manifest[key];
  if (!chunk || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const next of chunk.imports ?? []) closure(next, seen);
  return seen;
}

const gzipped = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length / 1024;
const entry = Object.keys(manifest).find((key) => manifest[key].isEntry);
const sum = (files) => [...files].filter((file) => file.endsWith(".js")).reduce((total, file) => total + gzipped(file), 0);

let failed = false;
const shell = closure(entry);
console.log(`shell        ${sum(shell).toFixed(0).padStart(4)} kB gzipped`);
for (const key of manifest[entry].dynamicImports ?? []) {
  const total = sum(closure(key, new Set(shell)));
  const over = total > LIMIT_KB;
  failed ||= over;
  console.log(
    `${(manifest[key].src ?? key)
      .replace("src/", "")
      .replace(/\/index\.tsx$/, "")
      .padEnd(12)} ${total.toFixed(0).padStart(4)} kB with the shell${over ? `: over ${LIMIT_KB}` : ""}`,
  );
}
if (failed) process.exit(1);
