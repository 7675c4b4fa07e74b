"""The experiments of the book, one module for each notebook, and what they share."""
