import { describe, expect, it } from 'vitest';
import { graphOf } from './graph.ts';
import {
  add,
  attention,
  chunk,
  constantOf,
  input,
  layerNorm,
  linear,
  mean,
  mul,
  parameter,
  reshape,
  square,
  sub,
} from './operators.ts';
import { formatGraph, formatType } from './print.ts';
import { simplify } from './rewrite.ts';
import { gradients } from './vjp.ts';

describe('formatGraph', () => {
  it('prints leaves, then one line a node, then what is returned', () => {
    const x = input('x', [2, 16, 8]);
    const qkv = linear(layerNorm(x, 1e-6), parameter('attn.qkv.weight', [24, 8]));
    const [q, k, v] = chunk(qkv, 3, -1);
    const y = add(x, attention(q!, k!, v!, { heads: 2, scale: 0.5 }));
    expect(formatGraph(graphOf({ y, first: q! }))).toMatchInlineSnapshot(`
      "a:f32[2,16,8] = input x
      b:f32[24,8] = parameter attn.qkv.weight
      c:f32[2,16,8] = layerNorm{eps=0.000001} a
      d:f32[2,16,24] = linear c b
      e:f32[2,16,8] = slice{axis=2 start=0 end=8} d
      f:f32[2,16,8] = slice{axis=2 start=8 end=16} d
      g:f32[2,16,8] = slice{axis=2 start=16 end=24} d
      h:f32[2,16,8] = attention{heads=2 scale=0.5} e f g
      i:f32[2,16,8] = add a h
      return y=i first=e"
    `);
  });

  it('writes single numbers in place and names larger constants', () => {
    const y = mul(add(input('x', [2]), 0.1), constantOf([2], [1, 2]));
    expect(formatGraph(graphOf({ y }))).toMatchInlineSnapshot(`
      "a:f32[2] = input x
      b:f32[2] = add a 0.1
      c:f32[2] = constant
      d:f32[2] = mul b c
      return y=d"
    `);
  });

  it('prints the gradient of a regression as one would write it down', () => {
    const [x, weight, target] = [input('x', [4, 3]), parameter('weight', [1, 3]), input('target', [4, 1])];
    const loss = mean(square(sub(linear(x, weight), target)));
    const [dWeight] = gradients(loss, [weight]);
    expect(formatGraph(simplify(graphOf({ loss, dWeight: dWeight! })))).toMatchInlineSnapshot(`
      "a:f32[4,3] = input x
      b:f32[1,3] = parameter weight
      c:f32[4,1] = input target
      d:f32[4,1] = linear a b
      e:f32[4,1] = sub d c
      f:f32[4,1] = mul e e
      g:f32[] = mean{axes=[0,1] keepDims=false} f
      h:f32[1,1] = reshape{shape=[1,1]} 0.25
      i:f32[4,1] = broadcastTo{shape=[4,1]} h
      j:f32[4,1] = mul i e
      k:f32[4,1] = add j j
      l:f32[1,3] = matmul{transposeA=true transposeB=false} k a
      return loss=g dWeight=l"
    `);
  });

  it('goes on with aa after z', () => {
    let x = input('x', [1]);
    for (let i = 0; i < 26; i++) x = reshape(x, x.shape.length === 1 ? [] : [1]);
    expect(formatGraph(graphOf({ x })).split('\n').at(-1)).toBe('return x=aa');
  });
});

it('formatType names dtype and shape', () => {
  expect(formatType(input('i', [2, 3], 'i64'))).toBe('i64[2,3]');
  expect(formatType(input('loss', []))).toBe('f32[]');
});
