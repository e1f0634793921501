/** @file The flags that say how images are drawn, shared by the commands that draw: one for each setting of sampling. */
import { type Command, Option } from 'commander';
import {
  SETTING_NAMES,
  type SettingName,
  type SettingValue,
  settingFlag,
} from '../diffusion/sampling-schema.ts';
import { chooseDrawing, type SettledModel } from '../tasks/sampling/choose-drawing.ts';
import type { RequestedSettings, SamplingSettings } from '../tasks/sampling/settings.ts';
import { numberIn, twoNumbers } from './flags.ts';
import { notesOn, type Terminal } from './terminal.ts';

/** As the parser names them; {@link requestedSettings} reads them. */
export interface SamplingFlags extends Omit<RequestedSettings, 'steps'> {
  readonly numSamplingSteps?: RequestedSettings['steps'];
}

/** Adds them to a command. */
export function withSamplingFlags(command: Command): Command {
  for (const name of SETTING_NAMES) {
    command.addOption(optionOf(name));
    const { flag, aboutNo } = settingFlag(name);
    if (aboutNo !== undefined) command.option(flag.replace('--', '--no-'), aboutNo);
  }
  return command;
}

function optionOf(name: SettingName): Option {
  const { flag, about, value } = settingFlag(name);
  const option = new Option(flag, about);
  if (value.kind === 'choice') {
    const { choices } = value;
    option.choices(choices.map(String));
    const expectChoice = option.parseArg!;
    return option.argParser((text, previous) => {
      expectChoice(text, previous);
      return choices.find((choice) => String(choice) === text);
    });
  }
  const parse = parserOf(value);
  return parse === undefined ? option : option.argParser(parse);
}

function parserOf(value: Exclude<SettingValue, { kind: 'choice' }>): ((text: string) => unknown) | undefined {
  switch (value.kind) {
    case 'number':
      return numberIn(value.low, value.high);
    case 'range':
      return twoNumbers;
    case 'numberOrText':
      return (text) => (/^\d+$/.test(text) ? Number(text) : text);
    case 'switch':
      return undefined;
  }
}

/** The settings that the user asked for, each with the flag that does so. */
export function givenSettings(flags: SamplingFlags): ReadonlyMap<string, string> {
  const given = Object.entries(requestedSettings(flags)).filter(([, value]) => value !== undefined);
  return new Map(given.map(([name, value]) => [name, flagOf(name as SettingName, value)]));
}

function flagOf(name: SettingName, value: unknown): string {
  const long = settingFlag(name).flag.split(/[ ,]/)[0]!;
  return value === false ? long.replace('--', '--no-') : long;
}

/** What the user asked for; flags that were not given are undefined. */
export function requestedSettings(flags: SamplingFlags): RequestedSettings {
  const given = new Map<string, unknown>(Object.entries(flags));
  return Object.fromEntries(
    SETTING_NAMES.map((name) => [name, given.get(new Option(settingFlag(name).flag).attributeName())]),
  );
}

/** What the user asked for, completed; says which suggestion of the model does not apply. */
export function settingsOf(
  saved: SettledModel,
  flags: SamplingFlags,
  terminal: Terminal,
  strength?: number,
): SamplingSettings {
  const { settings, unusedInterval } = chooseDrawing(saved, requestedSettings(flags), strength);
  if (unusedInterval !== undefined) {
    notesOn(terminal)(
      `all steps are guided: none begins from ${unusedInterval.join(' to ')}, which the model suggests`,
    );
  }
  return settings;
}
