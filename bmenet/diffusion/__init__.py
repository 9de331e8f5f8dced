"""Diffusion in latent space: the forward process, its solvers, the progressive constraint, and the sampling loop."""
