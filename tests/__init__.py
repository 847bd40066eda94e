"""The matrix: every loss of torch.nn, held to its specification."""
