/** The command that lets a host in. */

/** A word that a shell takes as it is, or in quotes. */
function word(text: string): string {
  return /^[A-Za-z0-9_.,:=@/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** What is run on the host, so that it can be read before it is run. */
export function enrollCommand(controller: string, token: string): string {
  return `cnnf-defender enroll --controller ${word(controller)} \\\n  --token ${word(token)}`;
}

/** Where hosts reach the controller, of what it says: under the name that the page was opened with if that is one of them, else its first. */
export function addressOf(controllers: readonly string[], hostname: string): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return controllers.find((address) => [`${bare}:`, `[${bare}]:`].some((name) => address.startsWith(name))) ?? controllers[0];
}
