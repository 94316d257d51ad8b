"""The commands of the command line, one file each; none imports NumPy before it runs."""
