"""Hyperparameter search inside attempts: what suggests parameters, ends trials early and chooses the best. Optuna does the work."""
