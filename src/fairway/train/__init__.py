"""Training: gangs and the rendezvous that each framework expects, checkpoints, data for ranks, search for hyperparameters."""
