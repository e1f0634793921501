import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { quoted, uditCommand } from './command.ts';

test('a command that can be typed', () => {
  expect(uditCommand('sample', 'my run', '--count', '8')).toBe('npx udit sample "my run" --count 8');
  expect(uditCommand('train', '--set', 'model.depth=[1,2]', '--lr', '0.001')).toBe(
    'npx udit train --set "model.depth=[1,2]" --lr 0.001',
  );
  expect(uditCommand('encode', '日本', '--set', 'data.background=black')).toBe(
    'npx udit encode "日本" --set data.background=black',
  );
});

test.skipIf(process.platform === 'win32')('a shell reads each word as it was', () => {
  const words = [
    '',
    'a b',
    '$HOME',
    '"x"',
    "it's",
    "it's `date` $1!",
    'a\\b',
    '*.png',
    '#1',
    'U-DiT-XL/2',
    '~',
  ];
  const line = words.map(quoted).join(' ');
  const printed = execFileSync('sh', ['-c', `for word in ${line}; do printf '%s\\n' "$word"; done`]);
  expect(printed.toString()).toBe(`${words.join('\n')}\n`);
});
