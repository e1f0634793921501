/** @file `udit/diffusion`: objectives, paths, predictions, and the plans and solvers of samplers. */

export * from '../diffusion/coefficients.ts';
export * from '../diffusion/denoise.ts';
export * from '../diffusion/dpm-solver.ts';
export * from '../diffusion/flow.ts';
export * from '../diffusion/flow-likelihood.ts';
export * from '../diffusion/flow-objective.ts';
export * from '../diffusion/flow-path.ts';
export * from '../diffusion/flow-prediction.ts';
export * from '../diffusion/gaussian.ts';
export * from '../diffusion/gaussian-objective.ts';
export * from '../diffusion/guidance.ts';
export * from '../diffusion/objective.ts';
export * from '../diffusion/objectives.ts';
export * from '../diffusion/ode-solver.ts';
export * from '../diffusion/respacing.ts';
export * from '../diffusion/runge-kutta.ts';
export * from '../diffusion/samplers.ts';
export * from '../diffusion/sampling-plan.ts';
export * from '../diffusion/schedule.ts';
export * from '../diffusion/variational-bound.ts';
