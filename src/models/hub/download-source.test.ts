import { describe, expect, test } from 'vitest';
import { publishedFile } from './catalogue.ts';
import { downloadSource } from './download-source.ts';

const UDIT = publishedFile('U-DiT-S-400k');
const DIT = publishedFile('DiT-XL-2-256x256');
const UDIT_PATH = new URL(UDIT.url).pathname;

describe('where a file comes from', () => {
  test('its own server, as published', () => {
    expect(downloadSource(UDIT, { variables: {} })).toMatchInlineSnapshot(`
      {
        "advice": {
          "missing": "see https://huggingface.co/yuchuantian/U-DiT: it may have been moved",
          "refused": "see https://huggingface.co/yuchuantian/U-DiT; if it asks for an account, set HF_TOKEN to a token of yours",
        },
        "headers": {},
        "url": "https://huggingface.co/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt",
      }
    `);
    expect(downloadSource(DIT, { variables: { HF_TOKEN: 'secret' } })).toMatchInlineSnapshot(`
      {
        "advice": {
          "missing": "see https://github.com/facebookresearch/DiT: it may have been moved",
          "refused": "see https://github.com/facebookresearch/DiT: it may have been moved",
        },
        "headers": {},
        "url": "https://dl.fbaipublicfiles.com/DiT/models/DiT-XL-2-256x256.pt",
      }
    `);
  });

  test('Hugging Face is shown the token, and where HF_ENDPOINT says it is', () => {
    const variables = { HF_TOKEN: 'secret\n', HF_ENDPOINT: 'https://hf.example/sub/' };
    expect(downloadSource(UDIT, { variables })).toMatchInlineSnapshot(`
      {
        "advice": {
          "missing": "see https://huggingface.co/yuchuantian/U-DiT: it may have been moved",
          "refused": "check the token in HF_TOKEN, and at https://huggingface.co/yuchuantian/U-DiT that its account may have the file",
        },
        "headers": {
          "authorization": "Bearer secret",
        },
        "url": "https://hf.example/sub/yuchuantian/U-DiT/resolve/b912cefded105df4eea5d4b0b35cc1ba9013f2d8/U-DiT-S-400k.pt",
      }
    `);
    expect(downloadSource(DIT, { variables })).toMatchObject({ url: DIT.url, headers: {} });
  });

  test('a mirror, which stands in for every server and is shown no token', () => {
    const variables = { HF_TOKEN: 'secret', UDIT_MIRROR: 'https://mirror.example/' };
    for (const file of [UDIT, DIT]) {
      expect(downloadSource(file, { variables })).toMatchObject({
        url: `https://mirror.example${new URL(file.url).pathname}`,
        headers: {},
      });
    }
    const mirror = 'http://127.0.0.1:8080/files';
    expect(downloadSource(UDIT, { mirror, variables }).url).toBe(mirror + UDIT_PATH);
    expect(downloadSource(UDIT, { mirror, variables }).advice).toMatchInlineSnapshot(`
      {
        "missing": "check that --mirror has the same paths as https://huggingface.co",
        "refused": "check that --mirror has the same paths as https://huggingface.co",
      }
    `);
  });

  test('a login in the address becomes a header', () => {
    const variables = { UDIT_MIRROR: 'https://ada:p%40ss@mirror.example' };
    expect(downloadSource(UDIT, { variables })).toMatchObject({
      url: `https://mirror.example${UDIT_PATH}`,
      headers: { authorization: `Basic ${Buffer.from('ada:p@ss').toString('base64')}` },
    });
  });
});

test.each(['mirror.example', 'ftp://mirror.example', 'https://'])('no web address: %s', (mirror) => {
  expect(() => downloadSource(UDIT, { mirror, variables: {} })).toThrow(
    `ConfigError: --mirror: "${mirror}" is no web address\n  fix: give the root of a server, such as https://mirror.example`,
  );
  expect(() => downloadSource(UDIT, { variables: { HF_ENDPOINT: mirror } })).toThrow(
    /^ConfigError: HF_ENDPOINT: /,
  );
  expect(() => downloadSource(UDIT, { variables: { UDIT_MIRROR: mirror } })).toThrow(
    /^ConfigError: UDIT_MIRROR: /,
  );
});
