/** A password that nobody has to think up: 20 characters that are hard to confuse, of more than 100 bits. */
export function makePassword(): string {
  const letters = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
  const limit = 256 - (256 % letters.length);
  let text = "";
  while (text.length < 20) {
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      // Those beyond the last whole round would make some letters likelier.
      if (byte < limit && text.length < 20) text += letters[byte % letters.length];
    }
  }
  return text;
}

/** The least that the controller takes, in bytes. */
export const LEAST = 12;

/** Whether the controller takes it: not too short, nor too long. */
export function isLong(password: string): boolean {
  const length = new TextEncoder().encode(password).length;
  return length >= LEAST && length <= 1_024;
}
