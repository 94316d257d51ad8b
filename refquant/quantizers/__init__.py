"""The quantizers of five papers, one file a paper; each op has its backward rule beside it."""
