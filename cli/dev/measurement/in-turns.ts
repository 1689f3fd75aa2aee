/** What something was measured to do: a value a round. */
export interface Measured<Round> {
  readonly title: string;
  readonly rounds: readonly Round[];
}

/**
 * Measures several things in turns, so that whatever else the machine does meets all of them alike. Each once before it
 * counts: the system then holds the files.
 */
export async function measureInTurns<Round>(
  things: ReadonlyArray<readonly [title: string, measure: () => Promise<Round>]>,
  rounds: number,
): Promise<Measured<Round>[]> {
  const measured = things.map(([title, measure]) => ({ title, measure, rounds: [] as Round[] }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const thing of measured) {
      const values = await thing.measure();
      if (round > 0) thing.rounds.push(values);
    }
  }
  return measured.map(({ title, rounds }) => ({ title, rounds }));
}
