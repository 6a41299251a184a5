"""Straight lines of many sites, noise and draws included, captured as CUDA graphs."""
