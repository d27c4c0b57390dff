//! Whether this machine can carry what a variant asks of it: said before anything starts, with the numbers.
