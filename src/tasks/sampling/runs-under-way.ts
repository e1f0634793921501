/** @file Runs that must end before what they run on is released. */
import { ConfigError } from '../../core/errors.ts';

export class RunsUnderWay {
  readonly #name: string;
  readonly #runs = new Set<Promise<unknown>>();
  #hasEnded = false;

  /** @param name - of what is released, for the error */
  constructor(name: string) {
    this.#name = name;
  }

  /** @throws ConfigError after {@link end} */
  async start<T>(run: () => Promise<T>): Promise<T> {
    if (this.#hasEnded) {
      throw new ConfigError({
        where: this.#name,
        problem: 'it has been released',
        fix: 'release it once all images are drawn, or create another',
      });
    }
    const running = run();
    this.#runs.add(running);
    try {
      return await running;
    } finally {
      this.#runs.delete(running);
    }
  }

  /** Waits for the runs under way; no more can start. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    await Promise.allSettled(this.#runs);
  }
}
