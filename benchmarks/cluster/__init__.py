"""Bars on a real cluster: KUBECONFIG says which, FAIRWAY_TEST_IMAGE names an image with Python. Without, they are "not measured"."""
