/** @file Sessions that are made together: where one cannot be made, none of them stays. */

/** What keeps memory until it is released, such as a session. */
export interface Releasable {
  release(): Promise<void>;
}

export interface ReleasingScope {
  /** Waits for something that is being made, and sees to its release if the scope fails. */
  open<T extends Releasable>(making: Promise<T>): Promise<T>;
}

/**
 * Runs `body`. If it throws, everything that it has opened is released before the error goes on, also what was still being
 * made; if not, all of it belongs to the caller.
 */
export async function releasing<T>(body: (scope: ReleasingScope) => Promise<T>): Promise<T> {
  const opened: Promise<Releasable>[] = [];
  try {
    return await body({
      open(making) {
        // Whoever opens it hears of its failure; here it only must not count as unheard while another is waited for.
        making.catch(() => undefined);
        opened.push(making);
        return making;
      },
    });
  } catch (error) {
    await Promise.allSettled(opened.map(async (making) => (await making).release()));
    throw error;
  }
}
