"""Benchmarks: how fast views, losses and steps are, as ratios that are measured side by side."""
