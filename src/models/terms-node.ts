/** @file On whose terms a checkpoint may be passed on, as far as it can be known from the file itself. */

import { BUNDLED_CHECKPOINT } from './bundled-node.ts';
import { findPublishedByHash } from './hub/catalogue.ts';
import { describeLicence, LICENCES } from './hub/licences.ts';

const EMOJI_CREDIT =
  'trained on Twemoji, Copyright Twitter, Inc and other contributors, https://github.com/jdecked/twemoji, ' +
  'CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/)';

/** Entries for the metadata of what is made of it; none for a user's own model. */
export function termsOf(path: string, sha256: string): Record<string, string> {
  const published = findPublishedByHash(sha256);
  if (published !== undefined) {
    const licence = LICENCES[published.licence];
    return { licence: `${describeLicence(licence)}, ${licence.url}`, credit: published.page };
  }
  return path === BUNDLED_CHECKPOINT ? { credit: EMOJI_CREDIT } : {};
}
