/** One page of a list, and all of them. */

/** More than anybody reads, and a bound on what a browser holds. */
const MOST = 100_000;
const SIZE = 5_000;

/** All entries of a list that comes in pages. */
export async function every<Answer extends { nextToken: string }, Entry>(
  ask: (page: { size: number; token: string }) => Promise<Answer>,
  entries: (answer: Answer) => readonly Entry[],
): Promise<Entry[]> {
  const all: Entry[] = [];
  let token = "";
  do {
    const answer = await ask({ size: SIZE, token });
    all.push(...entries(answer));
    token = answer.nextToken;
  } while (token !== "" && all.length < MOST);
  return all;
}
