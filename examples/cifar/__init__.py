"""ResNets for CIFAR-10, as models for ``python:`` sources."""
