"""Traffic and truth: sampled requests, answers and labels as data sets."""
