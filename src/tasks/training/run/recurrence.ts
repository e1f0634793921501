/** @file What a run does by the clock as well as by its steps: on a slow machine, many steps are a long time. */

/** Work may take this share of the time at most, however long it takes. */
const LARGEST_SHARE = 1 / 20;

/** Work that comes due again and again. The clock decides when something is written, never what is computed. */
export class Recurrence {
  private readonly everySeconds: number;
  private readonly clock: () => number;
  private doneAt: number;
  private took = 0;

  /** @param clock - seconds, from any moment on */
  constructor(everySeconds: number, clock: () => number) {
    this.everySeconds = everySeconds;
    this.clock = clock;
    this.doneAt = clock();
  }

  /**
   * Has enough time passed since the work was done, or since the beginning?
   *
   * @param expectedSeconds - how long the work will take, where that is known before it is done
   */
  isDue(expectedSeconds = this.took): boolean {
    return this.clock() - this.doneAt >= Math.max(this.everySeconds, expectedSeconds / LARGEST_SHARE);
  }

  /** How long the work took the last time; 0 before the first. */
  get seconds(): number {
    return this.took;
  }

  async do<T>(work: () => Promise<T>): Promise<T> {
    const began = this.clock();
    const result = await work();
    this.doneAt = this.clock();
    this.took = this.doneAt - began;
    return result;
  }
}
