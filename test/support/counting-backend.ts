/** @file A backend that counts its open sessions, and refuses one model. */
import { RuntimeUnavailableError } from '../../src/core/errors.ts';
import { cpuBackend } from '../../src/engine/runtime/cpu-node.ts';
import type { Backend } from '../../src/engine/runtime/session.ts';

export interface CountingBackend {
  readonly backend: Backend;
  /** Sessions that are not released. */
  readonly open: () => number;
  /** Models that it was asked to load, the refused one included. */
  readonly asked: () => number;
}

/** @param refused - which model is refused, from 1; those that weights are folded with do not count */
export async function countingBackend(refused: number): Promise<CountingBackend> {
  await cpuBackend.features();
  let [open, asked] = [0, 0];
  const backend: Backend = {
    ...cpuBackend,
    foldsOn: cpuBackend,
    async createSession(model, options) {
      if (++asked === refused) {
        throw new RuntimeUnavailableError({ where: 'runtime cpu', problem: `model ${refused} is refused` });
      }
      const session = await cpuBackend.createSession(model, options);
      open++;
      return {
        ...session,
        run: (feeds, fetches) => session.run(feeds, fetches),
        async release() {
          open--;
          await session.release();
        },
      };
    },
  };
  return { backend, open: () => open, asked: () => asked };
}
