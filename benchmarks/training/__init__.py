"""Gangs, checkpoints and searches, measured beside torchrun, mpirun, Dask, Optuna and Ray."""
