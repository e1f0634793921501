/** @file The licences of published weights. */

export interface Licence {
  readonly name: string;
  readonly url: string;
  readonly nonCommercial: boolean;
}

/** By SPDX identifier. */
export const LICENCES = {
  'Apache-2.0': {
    name: 'Apache License 2.0',
    url: 'https://www.apache.org/licenses/LICENSE-2.0',
    nonCommercial: false,
  },
  'CC-BY-NC-4.0': {
    name: 'Creative Commons Attribution-NonCommercial 4.0',
    url: 'https://creativecommons.org/licenses/by-nc/4.0/',
    nonCommercial: true,
  },
  MIT: {
    name: 'MIT License',
    url: 'https://opensource.org/license/mit',
    nonCommercial: false,
  },
} as const satisfies Readonly<Record<string, Licence>>;

export type LicenceId = keyof typeof LICENCES;

/** `MIT License`, `Creative Commons … 4.0 (non-commercial use only)` */
export function describeLicence({ name, nonCommercial }: Licence): string {
  return nonCommercial ? `${name} (non-commercial use only)` : name;
}
