import { errors } from "./errors";
import { keys } from "./keys";
import { radar } from "./radar";
import { shell } from "./shell";
import { signIn } from "./sign-in";

/**
 * Every sentence of the page, by part. Components hold no words of their own, so another language is another such object.
 * Sentences with values are functions; counts go through `count` of ./format, which knows plurals.
 */
export const text = { shell, signIn, radar, keys, errors };
