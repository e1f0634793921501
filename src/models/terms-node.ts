/** @file On whose terms a checkpoint may be passed on, as far as it can be known from the file itself. */
import { BUNDLED_NAMES, type BundledName, bundledFile } from './bundled-files-node.ts';
import { findPublishedByHash } from './hub/catalogue.ts';
import { describeLicence, LICENCES } from './hub/licences.ts';

const TWEMOJI =
  'trained on Twemoji, Copyright Twitter, Inc and other contributors, https://github.com/jdecked/twemoji, ' +
  'CC-BY 4.0 (https://creativecommons.org/licenses/by/4.0/)';
const FLUENT_EMOJI =
  'trained on Fluent Emoji, Copyright Microsoft Corporation, https://github.com/microsoft/fluentui-emoji, ' +
  'MIT License (https://opensource.org/license/mit)';

const BUNDLED_CREDITS: Readonly<Record<BundledName, string>> = {
  'u-dit-xs-emoji': TWEMOJI,
  // It began with the weights of the one above.
  'u-dit-xs-emoji-3d': `${FLUENT_EMOJI}; ${TWEMOJI}`,
  'emoji-3d-autoencoder': FLUENT_EMOJI,
};

/** Entries for the metadata of what is made of it; none for a user's own model. */
export function termsOf(path: string, sha256: string): Record<string, string> {
  const published = findPublishedByHash(sha256);
  if (published !== undefined) {
    const licence = LICENCES[published.licence];
    return { licence: `${describeLicence(licence)}, ${licence.url}`, credit: published.page };
  }
  const name = BUNDLED_NAMES.find((known) => bundledFile(known) === path);
  return name === undefined ? {} : { credit: BUNDLED_CREDITS[name] };
}
