"""The inference server: an asynchronous front, model processes behind it, batches of whatever waits."""
