/** @file `udit/diffusion`: objectives, paths, predictions, and the plans and solvers of samplers. */

export * from '../diffusion/coefficients.ts';
export * from '../diffusion/denoise.ts';
export * from '../diffusion/flow/flow.ts';
export * from '../diffusion/flow/likelihood.ts';
export * from '../diffusion/flow/objective.ts';
export * from '../diffusion/flow/path.ts';
export * from '../diffusion/flow/prediction.ts';
export * from '../diffusion/gaussian/gaussian.ts';
export * from '../diffusion/gaussian/objective.ts';
export * from '../diffusion/gaussian/respacing.ts';
export * from '../diffusion/gaussian/schedule.ts';
export * from '../diffusion/guidance.ts';
export * from '../diffusion/objective.ts';
export * from '../diffusion/objectives.ts';
export * from '../diffusion/samplers.ts';
export * from '../diffusion/sampling-plan.ts';
export * from '../diffusion/solvers/dpm-solver.ts';
export * from '../diffusion/solvers/ode-solver.ts';
export * from '../diffusion/solvers/runge-kutta.ts';
export * from '../diffusion/variational-bound.ts';
